// Triggers workflows through SuprSend's package for Node in all three ways; prints what the package made of it.
"use strict";
const { Suprsend, Workflow, WorkflowTriggerRequest } = require("@suprsend/node-sdk");

async function published(client, stranger, workflow) {
  const request = (name) => new WorkflowTriggerRequest({ workflow: name, recipients: ["u1"], data: { n: "é" } }, { cancellation_key: "ck" });
  const one = await client.workflows.trigger(request(workflow));
  const unknown = await client.workflows.trigger(request("nope"));
  const bulk = client.workflows.bulk_trigger_instance();
  bulk.append(request(workflow), request(workflow));
  const many = await bulk.trigger();
  const refused = await stranger.workflows.trigger(request(workflow));
  return {
    one: [one.success, one.status_code, JSON.parse(one.message).status],
    unknown: [unknown.success, unknown.status_code, JSON.parse(unknown.message).message],
    many: [many.status, many.total, many.success],
    stranger: [refused.success, refused.status_code],
  };
}

async function main(url, key, secret, workflow) {
  const client = new Suprsend(key, secret, { base_url: url });
  const stranger = new Suprsend(key, "wrong", { base_url: url });
  // The older ones know the legacy form alone.
  const told = WorkflowTriggerRequest ? await published(client, stranger, workflow) : {};
  const users = [{ distinct_id: "u1", $email: ["a@b.co"] }];
  const body = () => new Workflow({ name: workflow, template: "tpl", notification_category: "transactional", delay: "1h", users, data: {} });
  const legacy = await client.trigger_workflow(body());
  const bulk = client.bulk_workflows.new_instance();
  bulk.append(body(), body());
  const many = await bulk.trigger();
  const refused = await stranger.trigger_workflow(body());
  told.legacy = [legacy.success, legacy.status_code, many.success, refused.success, refused.status_code];
  console.log(JSON.stringify(told));
}

main(...process.argv.slice(2));
