// Does with whichever @trycourier/courier is installed what a backend does, and prints as JSON what came of it.
// Started as `drive_courier.cjs <address> <key> <token> <template>`, with the package's folder in PACKAGE.
"use strict";
const [url, key, token, template] = process.argv.slice(2);
const generation = Number(require(process.env.PACKAGE + "/package.json").version.split(".")[0]);
const sdk = require(process.env.PACKAGE);
const delay = { action: "delay", duration: "1 hour" };
const expiry = Math.floor(Date.now() / 1000) + 7200;

function client(authorization) {
  if (generation >= 7) {
    const { invoke } = new sdk.Courier({ baseURL: url, apiKey: authorization }).automations;
    return {
      adHoc: (body, once) => invoke.invokeAdHoc(body, once ? { headers: { "Idempotency-Key": once } } : {}),
      template: (id, body) => invoke.invokeByTemplate(id, body),
    };
  }
  if (generation === 6) {
    const { automations } = new sdk.CourierClient({ baseUrl: url, authorizationToken: authorization });
    return {
      adHoc: (body, once) => automations.invokeAdHocAutomation(body, once ? { idempotencyKey: once } : {}),
      template: (id, body) => automations.invokeAutomationTemplate(id, body),
    };
  }
  const { automations } = sdk.CourierClient({ baseUrl: url, authorizationToken: authorization });
  const config = (once) => (once ? { idempotencyKey: once, idempotencyExpiry: expiry } : {});
  return {
    adHoc: (body, once) => automations.invokeAdHocAutomation(body, config(once)),
    template: (id, body) => automations.invokeAutomationTemplate({ templateId: id, ...body }),
  };
}

async function status(run) {
  const answer = await fetch(`${url}/api/v1/runs/${run}`, { headers: { Authorization: `Bearer ${key}` } });
  return (await answer.json()).status;
}

async function failure(call) {
  try {
    await call();
    return ["nothing", ""];
  } catch (error) {
    const said = error.response && error.response.data ? JSON.stringify(error.response.data) : "";
    return [error.constructor.name, error.message + said];
  }
}

async function main() {
  const courier = client(key);
  const waiting = { automation: { cancelation_token: token, steps: [delay] }, recipient: "u1", data: { a: 1 } };
  const cancel = { automation: { steps: [{ action: "cancel", cancelation_token: token }] } };
  const broken = { automation: { steps: [{ action: "wat" }] } };
  const first = (await courier.adHoc(waiting)).runId;
  const before = await status(first);
  await courier.adHoc(cancel);
  const after = await status(first);
  const later = (await courier.adHoc(waiting)).runId;
  const body = { recipient: "u1", data: { user_id: token } };
  console.log(JSON.stringify({
    first,
    statuses: [before, after, await status(later)],
    template: (await courier.template(template, body)).runId,
    once: [(await courier.adHoc(waiting, token)).runId, (await courier.adHoc(waiting, token)).runId],
    wrong_key: await failure(() => client("wrong").adHoc(waiting)),
    no_template: await failure(() => courier.template("nobody", { recipient: "u1" })),
    bad_body: await failure(() => courier.adHoc(broken)),
  }));
}

main();
