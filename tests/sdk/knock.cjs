// Triggers a workflow through a Knock package for Node and cancels it in part; prints what the package made of it.
"use strict";
const knock = require("@knocklabs/node");

async function main(version, url, key, workflow) {
  const isNew = version.startsWith("1.");
  const client = isNew ? new knock.default({ apiKey: key, baseURL: url }) : new knock.Knock(key, { host: url });
  const trigger = (recipients, cancellation_key) => {
    const body = { recipients, data: { n: 1 }, actor: "a" };
    // The older ones take camel case and respell it themselves.
    return client.workflows.trigger(workflow, isNew ? { ...body, cancellation_key } : { ...body, cancellationKey: cancellation_key });
  };
  const first = await trigger(["u1", { id: "u2", email: "e@x.y" }], "ck");
  await trigger(["u3"], "other");
  if (isNew) {
    await client.workflows.cancel(workflow, { cancellation_key: "ck", recipients: ["u1"] });
  } else {
    await client.workflows.cancel(workflow, "ck", { recipients: ["u1"] });
  }
  const statuses = {};
  if (isNew) {
    for await (const run of client.workflowRecipientRuns.list({ workflow, page_size: 2 })) {
      statuses[run.recipient] = run.status;
    }
  }
  const refused = [];
  for (const attempt of [() => trigger([], "ck"), () => client.workflows.trigger("nobody", { recipients: ["u1"] })]) {
    await attempt().catch((error) => refused.push([error.constructor.name, error.status]));
  }
  console.log(JSON.stringify({ id: first.workflow_run_id, statuses, refused }));
}

main(...process.argv.slice(2));
