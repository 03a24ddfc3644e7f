// BullMQ: delayed jobs added in bulk; a finished job is kept among the last thousand.
import { require, serve, stamp, store, thousands } from './step.mjs';

const { Queue, Worker } = require('bullmq');
const { hostname, port } = new URL(store);
const connection = { host: hostname, port: Number(port), maxRetriesPerRequest: null };

if (process.argv[2] === 'work') {
  new Worker('bench', async job => stamp(job.data.index), { connection, concurrency: 100 });
} else {
  const queue = new Queue('bench', { connection });
  const key = item => (item.token ? { jobId: `step-${item.index}` } : {});
  const job = item => ({
    name: 'step',
    data: item,
    opts: {
      delay: Math.max(0, Math.round(item.due * 1000 - Date.now())), removeOnComplete: { count: 1000 }, ...key(item),
    },
  });
  const many = []; // what an application has to keep of its own: there are no tokens
  await serve({
    version: require('bullmq/package.json').version,
    create: async items => {
      for (const some of thousands(items)) await queue.addBulk(some.map(job));
      for (const item of items) if (item.token === 'many') many.push(`step-${item.index}`);
    },
    cancel: index => queue.remove(`step-${index}`),
    cancelMany: async () => {
      for (const some of thousands(many)) await Promise.all(some.map(id => queue.remove(id)));
    },
    left: () => queue.getJobCountByTypes('waiting', 'active', 'delayed', 'prioritized'),
  });
}
