// What the gateway finds in a config, by file and place.

/** @typedef {import("../api/types.js").Diagnostic} Diagnostic */

/**
 * @typedef {object} Finding
 * @property {"error" | "warning"} severity
 * @property {string} code
 * @property {string} message
 * @property {string | null} hint
 * @property {Spot[]} spots the place of the mistake, then others that it is about
 */

/**
 * A place in a file, whose lines and columns count from 1.
 * @typedef {object} Spot
 * @property {string} file the name, without folders
 * @property {number} line
 * @property {number} column
 * @property {number} endLine
 * @property {number} endColumn
 * @property {string} text
 */

/**
 * @param {Diagnostic[]} diagnostics
 * @returns {Finding[]}
 */
export function findings(diagnostics) {
  return diagnostics.map((one) => ({
    severity: one.severity === "warning" ? "warning" : "error",
    code: one.code ?? "",
    message: one.message,
    hint: one.help ?? null,
    spots: (one.labels ?? []).map((label) => ({
      file: label.file.split("/").pop() ?? label.file,
      line: label.line,
      column: label.column,
      endLine: label.end_line ?? label.line,
      endColumn: label.end_column ?? label.column + 1,
      text: label.text ?? "",
    })),
  }));
}

/**
 * The place of a finding in a file, as positions in its text.
 * @param {string} text
 * @param {Spot} spot
 * @returns {[number, number]}
 */
export function range(text, spot) {
  const begin = position(text, spot.line, spot.column);
  return [begin, Math.max(begin, position(text, spot.endLine, spot.endColumn))];
}

/**
 * @param {string} text
 * @param {number} line
 * @param {number} column in characters, which may be two units of a string
 */
function position(text, line, column) {
  let at = 0;
  for (let passed = 1; passed < line; passed += 1) {
    const end = text.indexOf("\n", at);
    if (end < 0) return text.length;
    at = end + 1;
  }
  const end = text.indexOf("\n", at);
  const stop = end < 0 ? text.length : end;
  for (let passed = 1; passed < column && at < stop; passed += 1) at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
  return at;
}

/**
 * Such as `2 errors, 1 warning`.
 * @param {Finding[]} all
 */
export function counts(all) {
  const errors = all.filter((one) => one.severity === "error").length;
  const warnings = all.length - errors;
  const parts = [];
  if (errors > 0) parts.push(`${errors} ${errors === 1 ? "error" : "errors"}`);
  if (warnings > 0) parts.push(`${warnings} ${warnings === 1 ? "warning" : "warnings"}`);
  return parts.join(", ");
}
