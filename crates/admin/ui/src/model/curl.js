// A line for curl, as the request that curl would send.

/** @typedef {{ method: string, url: string, headers: [string, string][] }} CurlRequest */

/** Options with a value that does not change the request, beside those below. */
const SKIPPED = new Set(("-o -m -x -c -w -D -E -K -r -t -y -Y -z -P -Q -U -C --output --max-time --connect-timeout --resolve --connect-to --cacert --capath "
  + "--cert --cert-type --key --key-type --pass --proxy --proxy-user --cookie-jar --write-out --dump-header --retry --retry-delay --retry-max-time "
  + "--interface --dns-servers --limit-rate --max-redirs --max-filesize --ciphers --tls-max --unix-socket --stderr --trace --trace-ascii --noproxy "
  + "--keepalive-time --local-port --netrc-file --output-dir --proto --socks5 --socks5-hostname --aws-sigv4 --range --config --rate").split(" "));

/** Short options with a value. */
const SHORT_WITH_VALUE = "XHdFTuAebomxcwDEKrtyYzPQUC";

/** The long name of each short option that changes the request. @type {Record<string, string>} */
const LONG = {
  "-X": "--request", "-H": "--header", "-d": "--data", "-F": "--form", "-T": "--upload-file", "-u": "--user", "-A": "--user-agent",
  "-e": "--referer", "-b": "--cookie", "-G": "--get", "-I": "--head",
};

/** Long options with a value. */
const WITH_VALUE = new Set(["--request", "--header", "--data", "--data-raw", "--data-binary", "--data-ascii", "--data-urlencode", "--json", "--form",
  "--form-string", "--upload-file", "--user", "--user-agent", "--referer", "--cookie", "--url", "--url-query", "--oauth2-bearer", "--request-target"]);

/**
 * @param {string} line
 * @returns {CurlRequest | { fault: string }}
 */
export function curlRequest(line) {
  const words = shellWords(unfolded(line));
  if (words === null) return { fault: "The line has a quote that is not closed." };
  // In front of it there may be a prompt, variables and `sudo`.
  words.splice(0, words.findIndex((word) => CURL.test(word)) + 1);
  const urls = [];
  /** @type {[string, string][]} */
  const headers = [];
  const data = [];
  const queries = [];
  /** @type {Record<string, string>} */
  const given = {};
  let isOnlyUrls = false;
  while (words.length > 0) {
    let word = /** @type {string} */ (words.shift());
    if (isOnlyUrls || !word.startsWith("-") || word === "-") {
      urls.push(word);
      continue;
    }
    if (word === "--") {
      isOnlyUrls = true;
      continue;
    }
    let value = null;
    if (!word.startsWith("--")) {
      // `-sXPOST` is `-s -X POST`.
      const letters = word.slice(1);
      const at = [...letters].findIndex((letter) => SHORT_WITH_VALUE.includes(letter));
      for (const letter of at < 0 ? letters : letters.slice(0, at)) if (LONG[`-${letter}`]) given[LONG[`-${letter}`]] = "";
      if (at < 0) continue;
      word = `-${letters[at]}`;
      if (at + 1 < letters.length) value = letters.slice(at + 1);
    }
    const equals = word.startsWith("--") ? word.indexOf("=") : -1;
    if (equals > 0) {
      value = word.slice(equals + 1);
      word = word.slice(0, equals);
    }
    const name = LONG[word] ?? word;
    if (!WITH_VALUE.has(name) && !SKIPPED.has(name)) {
      given[name] = "";
      continue;
    }
    value ??= words.shift() ?? null;
    if (value === null) return { fault: `The option ${word} has no value.` };
    if (name === "--header") {
      if (value.startsWith("@")) return { fault: "Headers in a file are not read." };
      const colon = value.indexOf(":");
      // `name;` is a header without a value, and `name:` takes away one that curl adds.
      if (colon > 0 && value.slice(colon + 1).trim() !== "") headers.push([value.slice(0, colon).trim(), value.slice(colon + 1).trim()]);
      else if (value.endsWith(";")) headers.push([value.slice(0, -1).trim(), ""]);
    } else if (name.startsWith("--data") || name === "--json") {
      data.push(name === "--data-urlencode" ? encoded(value) : value);
      given[name] = value;
    } else if (name === "--url") {
      urls.push(value);
    } else if (name === "--url-query") {
      queries.push(value);
    } else {
      given[name] = value;
    }
  }
  if (urls.length !== 1) return { fault: urls.length === 0 ? "The line has no URL." : `The line has ${urls.length} URLs; one is needed.` };
  const has = (/** @type {string} */ name) => headers.some(([known]) => known.toLowerCase() === name);
  const add = (/** @type {string} */ name, /** @type {string} */ value) => {
    if (!has(name)) headers.push([name, value]);
  };
  if (given["--get"] !== undefined) queries.push(...data.splice(0));
  if (given["--user-agent"]) add("user-agent", given["--user-agent"]);
  if (given["--referer"]) add("referer", given["--referer"]);
  if (given["--cookie"]?.includes("=")) add("cookie", given["--cookie"]);
  if (given["--oauth2-bearer"]) add("authorization", `Bearer ${given["--oauth2-bearer"]}`);
  if (given["--user"] !== undefined && given["--digest"] === undefined && given["--ntlm"] === undefined) add("authorization", `Basic ${base64(given["--user"])}`);
  if (given["--compressed"] !== undefined) add("accept-encoding", "deflate, gzip, br, zstd");
  if (given["--json"] !== undefined) {
    add("content-type", "application/json");
    add("accept", "application/json");
  } else if (data.length > 0) {
    add("content-type", "application/x-www-form-urlencoded");
  } else if (given["--form"] !== undefined || given["--form-string"] !== undefined) {
    add("content-type", "multipart/form-data");
  }
  const isPost = data.length > 0 || given["--form"] !== undefined || given["--form-string"] !== undefined;
  const method = given["--request"] ?? (given["--head"] !== undefined ? "HEAD" : given["--upload-file"] !== undefined ? "PUT" : isPost ? "POST" : "GET");
  let url = urls[0];
  if (queries.length > 0) {
    const [front, hash] = url.split("#", 2);
    url = `${front}${front.includes("?") ? "&" : "?"}${queries.join("&")}${hash === undefined ? "" : `#${hash}`}`;
  }
  return { method, url, headers };
}

/** The program, as a word of a line. */
const CURL = /(^|[\\/])curl(\.exe)?$/;

/**
 * The line without its breaks, and without the carets that `cmd` on Windows wants, as browsers copy it.
 * @param {string} text
 */
function unfolded(text) {
  const isCmd = /\^\s*(\r?\n|$)|\^"/.test(text);
  const plain = isCmd ? text.replace(/\^\r?\n/g, " ").replace(/\^(.)/g, "$1") : text;
  return plain.replace(/\\\r?\n/g, " ").replace(/[\r\n]+/g, " ");
}

/**
 * A value that curl encodes: all of it, or what stands behind the first `=`.
 * @param {string} text
 */
function encoded(text) {
  const equals = text.indexOf("=");
  return equals < 0 ? encodeURIComponent(text) : `${text.slice(0, equals)}${equals === 0 ? "" : "="}${encodeURIComponent(text.slice(equals + 1))}`;
}

/** @param {string} text */
const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

/**
 * True where a shell has another command, or a file for the output. An ampersand within a word is the URL's: whoever types
 * such a line forgets its quotes.
 * @param {string} line
 * @param {number} at
 * @param {boolean} isWord
 */
function isEnd(line, at, isWord) {
  return /^(\||;(\s|$)|&&|&(\s|$))/.test(line.slice(at, at + 2)) || (!isWord && /^\d?[<>]/.test(line.slice(at, at + 2)));
}

/**
 * The words of a line up to the end of its first command, as a shell splits it; `null` if a quote is not closed.
 * @param {string} line
 * @returns {string[] | null}
 */
export function shellWords(line) {
  const words = [];
  let word = "";
  let isWord = false;
  let at = 0;
  while (at < line.length) {
    const letter = line[at];
    if (letter === "'" || (letter === "$" && line[at + 1] === "'")) {
      const isEscaped = letter === "$";
      at += isEscaped ? 2 : 1;
      isWord = true;
      while (at < line.length && line[at] !== "'") {
        if (isEscaped && line[at] === "\\" && at + 1 < line.length) {
          const code = /^(?:u([\da-f]{1,4})|x([\da-f]{1,2}))/i.exec(line.slice(at + 1));
          at += code ? code[0].length : 1;
          word += code ? String.fromCharCode(parseInt(code[1] ?? code[2], 16)) : ({ n: "\n", t: "\t", r: "\r" }[line[at]] ?? line[at]);
        } else {
          word += line[at];
        }
        at += 1;
      }
      if (at >= line.length) return null;
    } else if (letter === '"') {
      at += 1;
      isWord = true;
      while (at < line.length && line[at] !== '"') {
        if (line[at] === "\\" && /["\\$`]/.test(line[at + 1] ?? "")) at += 1;
        word += line[at];
        at += 1;
      }
      if (at >= line.length) return null;
    } else if (letter === "\\") {
      at += 1;
      if (at < line.length) word += line[at];
      isWord = true;
    } else if (isEnd(line, at, isWord)) {
      break;
    } else if (/\s/.test(letter)) {
      if (isWord) words.push(word);
      word = "";
      isWord = false;
    } else {
      word += letter;
      isWord = true;
    }
    at += 1;
  }
  if (isWord) words.push(word);
  return words;
}
