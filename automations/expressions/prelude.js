// The world an expression runs in: made before it, and the only way its answer gets out.
// Evaluated once in a fresh context; its value is the function that evaluates one job, written as ASCII JSON.
// An expression that replaces what this file calls harms its own answer only: the context ends with it.
[() => {
  "use strict";
  const { construct, defineProperty, getPrototypeOf } = Reflect;
  const evaluate = eval;
  const Real = Date;
  const hidden = (value) => ({ value, writable: true, configurable: true });

  // No code from strings: the four kinds of function, and the two globals.
  const refusal = function Function() {
    throw new EvalError("Code generation from strings disallowed for this context");
  };
  refusal.prototype = Function.prototype;
  for (const sample of [() => 0, async () => 0, function* () {}, async function* () {}]) {
    defineProperty(getPrototypeOf(sample), "constructor", { value: refusal });
  }
  globalThis.Function = refusal;
  globalThis.eval = (text) => refusal(text);

  // Nothing asynchronous, shared, or dependent on the collector, the clock or the host.
  for (const name of [
    "queueMicrotask", "SharedArrayBuffer", "Atomics", "WeakRef", "FinalizationRegistry", "performance",
    "DisposableStack", "AsyncDisposableStack", "DOMException", "atob", "btoa",
  ]) delete globalThis[name];

  // The wrapper turns an uncatchable error into text with the time limit already lifted: no code of the
  // expression may run then, so whatever an Error consults on that way is frozen.
  for (const name of ["prepareStackTrace", "stackTraceLimit", "captureStackTrace"]) delete Error[name];
  defineProperty(Error.prototype, Symbol.toPrimitive, { value: undefined });
  for (const kind of [
    Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError, InternalError,
    AggregateError, SuppressedError,
  ]) {
    Object.freeze(kind.prototype);
    Object.freeze(kind);
  }

  // The clock is the run's, and chance (mulberry32) follows from its seed: the same answer after a crash.
  const setClock = (now) => {
    const Clock = function Date(...parts) {
      if (!new.target) return new Real(now).toString();
      return construct(Real, parts.length ? parts : [now], new.target);
    };
    Clock.prototype = Real.prototype;
    Real.prototype.constructor = Clock;
    defineProperty(Clock, "now", hidden(() => now));
    defineProperty(Clock, "parse", hidden(Real.parse));
    defineProperty(Clock, "UTC", hidden(Real.UTC));
    globalThis.Date = Clock;
  };
  const setChance = (state) => {
    const { imul } = Math;
    Math.random = () => {
      state = (state + 0x6d2b79f5) | 0;
      let t = imul(state ^ (state >>> 15), 1 | state);
      t = (t + imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  };
  return { evaluate, setClock, setChance };
}, (world) => {
  "use strict";
  const { evaluate, setClock, setChance } = world;
  const { parse, rawJSON, stringify } = JSON;
  const { setPrototypeOf } = Object;
  const { apply } = Reflect;
  const { join } = Array.prototype;
  const LONGEST = 65536; // characters of JSON an expression may answer with
  const NOBODY = /^(?:undefined|null|nan|[+-]?infinity|\[object object\])?$/i;
  const SUSPICIOUS = /undefined|null|NaN|Infinity|\[object |\[native code\]/;
  const IN_ANY_CASE = /undefined|null|nan|infinity/gi; // what toUpperCase() or toLowerCase() made of it
  const STATUSES = [ // a message's way, in order: `refs.outreach.status < MessageStatus.Opened`
    "Unmapped", "Unroutable", "Undeliverable", "Filtered", "Enqueued", "Simulated", "Sent", "Delivered",
    "Opened", "Clicked",
  ];

  // Integers beyond 2^53 keep their digits as BigInt: two ids must never become one token.
  const revive = (key, value, { source }) => {
    const exact = typeof value !== "number" || Number.isSafeInteger(value) || !/^-?\d+$/.test(source);
    return exact ? value : BigInt(source);
  };

  // Replies: "=" an answer, "!" an error, "?" look again with a tracer, remembering this. What becomes JSON
  // here has no prototype: no toJSON of the expression is called, nothing it threw gets out.
  const bare = (object) => setPrototypeOf(object, null);
  const fail = (kind, message, paths = []) => `!${stringify(bare({ kind, message, paths: bare(paths) }))}`;
  const answer = (json, missing = []) =>
    json.length > LONGEST
      ? fail("too_long", "the result is larger than 64 KiB")
      : `={"value":${json},"missing":${stringify(bare(missing))}}`;
  const lookAgain = (memory) => `?${stringify(bare(memory))}`;
  const shape = (value) => {
    if (typeof value === "boolean") return value;
    if (typeof value !== "object") return `a ${typeof value}`;
    return Array.isArray(value) ? "a list" : "an object";
  };
  const unsupported = (value) => fail("unsupported_type", `the result is ${shape(value)}`);

  const failure = (error) => {
    const known = Error.isError(error);
    const name = known ? String(error.name) : "";
    const message = (known ? `${name}: ${error.message}` : `threw ${String(error)}`).slice(0, 300);
    if (name === "TypeError") return lookAgain({ kind: "runtime", message });
    let kind = "runtime";
    if (name === "InternalError" && /out of memory|string too long/.test(message)) kind = "memory";
    if (message.includes("call stack size exceeded")) kind = "stack";
    // The text itself does not parse: no function was running below eval.
    if (name === "SyntaxError" && /^\s*at <\w+>:\d+:\d+\s+at eval /.test(error.stack)) kind = "syntax";
    return fail(kind, message);
  };

  const suspicious = (value) => SUSPICIOUS.test(value) || value.search(IN_ANY_CASE) >= 0;

  const judgeToken = (value, blanks) => {
    const type = typeof value;
    const nobody = value === undefined || value === null || (type === "number" && !Number.isFinite(value));
    if (nobody || (type === "string" && NOBODY.test(value.trim()))) {
      const shown = type === "string" ? stringify(value.slice(0, 40)) : value;
      return lookAgain({ kind: "unresolved", message: `the result is ${shown}` });
    }
    if (type === "number") return answer(stringify(value));
    if (type !== "string" && type !== "bigint") return unsupported(value);
    const json = stringify(String(value));
    if (json.length <= LONGEST && type === "string" && (blanks || suspicious(value))) {
      return lookAgain({ text: value });
    }
    return answer(json);
  };

  const judgeField = (value) => {
    const json = stringify(value, (key, item) => (typeof item === "bigint" ? rawJSON(String(item)) : item));
    const nothing = value === undefined || (typeof value === "number" && !Number.isFinite(value));
    if (json === undefined && !nothing) return unsupported(value);
    if (nothing || (typeof value === "string" && json.length <= LONGEST && SUSPICIOUS.test(value))) {
      return lookAgain({ field: json ?? "null" });
    }
    return answer(json);
  };

  const judge = (job, value) => {
    if (job.mode === "token") return judgeToken(value, job.blanks);
    if (value instanceof Promise) return fail("unsupported_type", "the result is a promise");
    return job.mode === "field" ? judgeField(value) : answer(value ? "true" : "false");
  };

  // A step's status is text, and a rank where the expression speaks of ranks.
  const read = (text) => {
    const job = /\d{16}/.test(text) ? parse(text, revive) : parse(text);
    if (job.source.includes("MessageStatus")) {
      for (const step of Object.values(job.refs)) {
        const rank = STATUSES.findIndex((name) => name.toUpperCase() === step?.status);
        if (rank >= 0) step.status = rank;
      }
    }
    job.event = job.refs.event; // what a rule's condition is about
    job.refs.data = job.data;
    job.refs.profile = job.profile;
    return job;
  };
  const expose = (job) => {
    const MessageStatus = {};
    STATUSES.forEach((name, rank) => { MessageStatus[name] = rank; });
    Object.assign(globalThis, { data: job.data, profile: job.profile, refs: job.refs, MessageStatus });
    if (job.event) globalThis.event = job.event;
    setClock(job.now);
    setChance(job.seed);
  };

  // On a second look there is a tracer (tracing.js), and `memory` holds what the look before remembered.
  const look = (text, memory, tracer) => {
    const job = read(text);
    if (job.mode === "reads" && !tracer) return lookAgain({ reads: true });
    const conclude = tracer && tracer(job, parse(memory), { answer, fail, lookAgain, text, SUSPICIOUS, IN_ANY_CASE });
    expose(job);
    try {
      const value = evaluate(job.source);
      return conclude ? conclude(value) : judge(job, value);
    } catch (error) {
      return conclude ? conclude() : failure(error);
    }
  };

  // Joined, since the wrapper does not know the ropes that longer concatenations are.
  return (text, memory, tracer) => {
    try {
      return apply(join, [look(text, memory, tracer)], [""]);
    } catch {
      return fail("runtime", "threw something that cannot be read");
    }
  };
}].reduce((world, make) => make(world), undefined)
