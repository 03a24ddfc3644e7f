// The step every Node peer performs, and the driver's half of the talk: as step.py.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import readline from 'node:readline';

export const store = process.env.STORE_URL;
export const require = createRequire(`${process.env.NODE_FOLDER}/`);

let file;
export function stamp(index) {
  file ??= fs.openSync(`${process.env.STAMPS}/${process.pid}.stamps`, 'a');
  const now = (performance.timeOrigin + performance.now()) / 1000;
  fs.writeSync(file, `${String(index).padStart(10, '0')} ${now.toFixed(6).padStart(17, '0')}\n`);
}

export async function serve({ version, create, left, cancel, cancelMany }) {
  const seconds = async call => { const begun = performance.now(); await call(); return (performance.now() - begun) / 1000; };
  const say = answer => process.stdout.write(`${JSON.stringify(answer)}\n`);
  say(version);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const question = JSON.parse(line);
    if (question.create) { await create(question.create); say(null); continue; }
    if (question.many) { say([await seconds(cancelMany)]); continue; }
    if (!question.cancel) { say(await left()); continue; }
    const times = [];
    for (const index of question.cancel) times.push(await seconds(() => cancel(index)));
    say(times);
  }
  process.exit(0);
}

export function* thousands(items) {
  for (let start = 0; start < items.length; start += 1000) yield items.slice(start, start + 1000);
}
