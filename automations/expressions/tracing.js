// A second look at an expression: data, profile and refs behind proxies that note what it reads of them.
// Its value is a function that puts the proxies into a job and returns another, which draws the conclusion.
(() => {
  "use strict";
  const MARK = "\uf8ff"; // stands for a value: no letter, no blank, the same in upper and lower case
  const MARKS_AND_BLANKS = /[\s\uf8ff]/g;
  const STANDING_ALONE = /(?:^|[^A-Za-z0-9])(?:undefined|null|NaN|Infinity)(?![A-Za-z0-9])/;
  const MOST = 20;
  const ENGINE_LOOKS_FOR = ["toJSON", "then"];
  const { get, has, ownKeys } = Reflect;
  const { hasOwn } = Object;
  const { isArray } = Array;

  // A probe reads MARK for what is missing ("misses") or for every text and number ("all").
  const watch = (job, probe) => {
    const seen = { reads: [], objects: [], misses: [], methods: [], blanks: [] };
    const proxies = new Map();
    const note = (notes, path) => {
      if (notes.length < MOST && !notes.includes(path)) notes.push(path.slice(0, 200));
    };
    const read = (target, key, path) => {
      const value = get(target, key);
      if (typeof key === "symbol") {
        if (key === Symbol.toPrimitive && !isArray(target)) note(seen.misses, path);
        return value;
      }
      const root = path === "refs" && (key === "data" || key === "profile");
      const where = root ? key : isArray(target) && key === "length" ? path : `${path}.${key}`;
      if (value === null || value === undefined) {
        if (ENGINE_LOOKS_FOR.includes(key)) return value;
        note(seen.reads, where);
        note(seen.misses, where);
        if (probe === "misses") return MARK;
      } else if (!hasOwn(target, key)) {
        if (typeof value === "function") note(seen.methods, where);
      } else if (typeof value === "object") {
        note(seen.objects, where);
        return guard(value, where);
      } else {
        note(seen.reads, where);
        if (typeof value === "string" && value.trim() === "") note(seen.blanks, where);
        if (probe === "all" && typeof value !== "boolean" && where !== path) return MARK;
      }
      return value;
    };
    const guard = (target, path) => {
      if (typeof target !== "object" || target === null) return target;
      if (!proxies.has(target)) {
        proxies.set(target, new Proxy(target, {
          get: (_, key) => read(target, key, path),
          has: (_, key) => (note(seen.reads, path), has(target, key)),
          ownKeys: () => (note(seen.reads, path), ownKeys(target)),
        }));
      }
      return proxies.get(target);
    };
    for (const name of ["data", "profile", "refs"]) job[name] = guard(job[name], name);
    return seen;
  };

  // The paths that show why `result` identifies nobody, or null where it may stand as far as they tell.
  const culprits = (result, word, seen, text) => {
    if (seen.misses.length && (word[0] === "[" || STANDING_ALONE.test(result))) return seen.misses;
    if (result.includes("[native code]") && seen.methods.length) return seen.methods;
    // Data were read, yet neither they nor the expression hold the word: find(), at(), parseInt(), 0/0.
    const written = text.toLowerCase().includes(word.toLowerCase());
    return word[0] !== "[" && seen.reads.length && !written ? seen.reads : null;
  };

  // What was read, an object or list only where nothing within it was.
  const extent = ({ reads, objects }) => {
    const all = [...new Set([...reads, ...objects])];
    return all.filter((path) => reads.includes(path) || !all.some((other) => other.startsWith(`${path}.`)));
  };

  return (job, memory, { answer, fail, lookAgain, text, SUSPICIOUS }) => {
    const seen = watch(job, memory.probe);
    const result = memory.text;
    const [word] = SUSPICIOUS.exec(result) ?? [];

    const firstLook = () => {
      const paths = word && culprits(result, word, seen, text);
      if (paths) return fail("unresolved", `the result holds "${word}"`, paths);
      const next = { text: result, misses: seen.misses, blanks: seen.blanks };
      if (word && seen.misses.length) return lookAgain({ ...next, probe: "misses" });
      return seen.blanks.length ? lookAgain({ ...next, probe: "all" }) : answer(JSON.stringify(result));
    };
    // `user${data.id}`: with a mark for what is missing, the mark stands where the word stood.
    const probeMisses = (value) => {
      const marked = (whole) => whole.replace(/undefined|null/g, MARK);
      if (String(value).includes(MARK) && marked(String(value)) === marked(result)) {
        return fail("unresolved", `the result holds "${word}"`, memory.misses);
      }
      return memory.blanks.length ? lookAgain({ ...memory, probe: "all" }) : answer(JSON.stringify(result));
    };
    // With a mark for every value, nothing is left of the result but what it is without them.
    const probeAll = (value) => {
      const unwritten = (whole) => String(whole).replace(MARKS_AND_BLANKS, "");
      return unwritten(value) === unwritten(result)
        ? fail("unresolved", "nothing in the result comes from the data", memory.blanks)
        : answer(JSON.stringify(result));
    };

    return (value) => {
      if (memory.reads) return answer(JSON.stringify({ reads: extent(seen), misses: seen.misses }));
      if (memory.kind) return fail(memory.kind, memory.message, seen.misses);
      if (memory.field) {
        const nothing = memory.field === "null" ? ["the result"] : [];
        return answer(memory.field, seen.misses.length ? seen.misses : nothing);
      }
      if (!memory.probe) return firstLook();
      return memory.probe === "misses" ? probeMisses(value) : probeAll(value);
    };
  };
})()
