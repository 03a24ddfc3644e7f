// graphile-worker: jobs with a time to run at; with BATCHES=1 locked 200 at once and completed together.
import { require, serve, stamp, store, thousands } from './step.mjs';

const { makeWorkerUtils, run } = require('graphile-worker');

if (process.argv[2] === 'work') {
  const taskList = { step: async item => stamp(item.index) };
  const batches = {
    localQueue: { size: 200, refetchDelay: { durationMs: 20, maxAbortThreshold: 400 } },
    completeJobBatchDelay: 5,
    failJobBatchDelay: 5,
  };
  const worker = {
    connectionString: store, concurrentJobs: 20, maxPoolSize: 22, pollInterval: 50,
    ...(process.env.BATCHES ? batches : {}),
  };
  await run({ taskList, preset: { worker } });
} else {
  const peer = await makeWorkerUtils({ connectionString: store });
  await peer.migrate();
  const key = item => (item.token ? { jobKey: `${item.index}` } : {});
  const job = item => ({ identifier: 'step', payload: item, runAt: new Date(item.due * 1000), ...key(item) });
  const many = []; // what an application has to keep of its own: there are no tokens
  await serve({
    version: require('graphile-worker/package.json').version,
    create: async items => {
      for (const some of thousands(items)) {
        const jobs = await peer.addJobs(some.map(job));
        some.forEach((item, place) => { if (item.token === 'many') many.push(jobs[place].id); });
      }
    },
    cancel: index => peer.withPgClient(client => client.query('SELECT graphile_worker.remove_job($1)', [`${index}`])),
    cancelMany: () => peer.completeJobs(many),
    left: () => peer.withPgClient(async client =>
      Number((await client.query('SELECT count(*) FROM graphile_worker.jobs')).rows[0].count)),
  });
}
