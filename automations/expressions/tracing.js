// A second look at an expression: data, profile and refs behind proxies that note what it reads of them.
// Its value is a function that puts the proxies into a job and returns another, which draws the conclusion.
(() => {
  "use strict";
  const MARK = "\uf8ff"; // stands for a value: no letter, no blank, the same in upper and lower case
  const MARKS_AND_BLANKS = /[\s\uf8ff]/g;
  const STANDING_ALONE = /(?:^|[^A-Za-z0-9])(?:undefined|null|NaN|Infinity)(?![A-Za-z0-9])/;
  const NO_NUMBER = /(?:^|[^A-Za-z0-9])(?:NaN|Infinity)(?![A-Za-z0-9])/i;
  const MOST = 20;
  const ENGINE_LOOKS_FOR = ["toJSON", "then"];
  const TEXT_OF_A_LIST = [Symbol.toPrimitive, "toString", "join"];
  const { apply, get, has, ownKeys } = Reflect;
  const { hasOwn } = Object;
  const { isArray } = Array;
  const { includes, join, map } = Array.prototype;

  // A probe reads MARK for what is missing ("misses") or for every text and number ("all").
  const watch = (job, probe) => {
    const seen = { reads: [], objects: [], misses: [], methods: [], blanks: [], gaps: false };
    const proxies = new Map();
    const note = (notes, path) => {
      if (notes.length < MOST && !notes.includes(path)) notes.push(path.slice(0, 200));
    };
    const read = (target, key, path) => {
      const value = get(target, key);
      // Of a longer list each item is read, and noted itself.
      if (isArray(target) && target.length < 2 && TEXT_OF_A_LIST.includes(key) && String(target).trim() === "") {
        note(seen.blanks, path);
        if (probe === "all") return () => MARK;
      }
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
    // A list makes nothing of what is missing: ['user', data.id].join('-').
    Array.prototype.join = function (separator) {
      const gaps = isArray(this) && (apply(includes, this, [undefined]) || apply(includes, this, [null]));
      seen.gaps ||= gaps;
      return apply(join, gaps && probe === "all" ? apply(map, this, [(it) => it ?? MARK]) : this, [separator]);
    };
    return seen;
  };

  // The paths that show why `result` identifies nobody, or null where it may stand as far as they tell.
  const culprits = (result, word, seen, written) => {
    if (seen.misses.length && (word[0] === "[" || STANDING_ALONE.test(result))) return seen.misses;
    if (result.includes("[native code]") && seen.methods.length) return seen.methods;
    // Data were read, yet neither they nor the expression hold the word: find(), at(), parseInt(), 0/0.
    return word[0] !== "[" && seen.reads.length && !written(word) ? seen.reads : null;
  };

  // What was read, an object or list only where nothing within it was.
  const extent = ({ reads, objects }) => {
    const all = [...new Set([...reads, ...objects])];
    return all.filter((path) => reads.includes(path) || !all.some((other) => other.startsWith(`${path}.`)));
  };

  return (job, memory, { answer, fail, lookAgain, text, SUSPICIOUS, IN_ANY_CASE }) => {
    const seen = watch(job, memory.probe);
    const { source } = job;
    const result = memory.text ?? "";
    const [exact] = SUSPICIOUS.exec(result) ?? [];
    // In other letters it may as well be a name (Nancy, NULL Ltd.), so only a probe can tell; what the expression
    // itself writes in these letters is meant.
    const word = exact ?? result.match(IN_ANY_CASE)?.find((folded) => !source.includes(folded));
    const written = (it) => text.toLowerCase().includes(it.toLowerCase());

    const firstLook = () => {
      const inNumber = word && NO_NUMBER.test(result) && !NO_NUMBER.test(text);
      const paths = exact ? culprits(result, exact, seen, written) : inNumber && seen.misses;
      if (paths?.length) return fail("unresolved", `the result holds "${word}"`, paths);
      const blanks = [...seen.blanks, ...(seen.gaps ? seen.misses : [])];
      if (!exact && word && !blanks.length && !written(word)) blanks.push(...seen.reads);
      const next = { text: result, misses: seen.misses, blanks };
      if (word && seen.misses.length) return lookAgain({ ...next, probe: "misses" });
      return blanks.length ? lookAgain({ ...next, probe: "all" }) : answer(JSON.stringify(result));
    };
    // `user${data.id}`: with a mark for what is missing, the mark stands where the word stood.
    const probeMisses = (value) => {
      const marked = (whole) => whole.replace(exact ? /undefined|null/g : /undefined|null/gi, MARK);
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
