/**
 * Standard output in whole lines, and what depends on whether it is a terminal.
 */
import { Effect } from "effect"
import { displayWidth } from "effect/cli/CliOutput"
import { plain } from "./formats.ts"

export const outputs = ["table", "json", "ndjson"] as const

export type Output = (typeof outputs)[number]

/** Characters of one write: more would only take memory. */
const CHUNK = 65_536

/** Ends when the text has left the process, interrupted or not: what is left in it at its end is lost. */
const write = (text: string): Effect.Effect<void> =>
  Effect.uninterruptible(
    Effect.callback((resume) => {
      process.stdout.write(text, () => resume(Effect.void))
    })
  )

/** Lines with their ends, some together. */
export function* chunks(lines: Iterable<string>): Iterable<string> {
  let chunk = ""
  for (const line of lines) {
    chunk += `${line}\n`
    if (chunk.length < CHUNK) continue
    yield chunk
    chunk = ""
  }
  if (chunk !== "") yield chunk
}

/** Writes lines, each with its end in the same write, so that an interruption leaves no half line. */
export const writeLines = (lines: Iterable<string>): Effect.Effect<void> =>
  Effect.forEach(chunks(lines), write, { discard: true })

/** Says something that is no result. */
export const say = (text: string): Effect.Effect<void> => Effect.sync(() => void process.stderr.write(`${text}\n`))

/** Writes text that is no line: what draws a view. */
export const draw = write

/** A document of JSON with one element on each line. */
export const writeJsonArray = (elements: ReadonlyArray<string>): Effect.Effect<void> =>
  writeLines(
    elements.length === 0
      ? ["[]"]
      : elements.map((element, i) => `${i === 0 ? "[" : " "}${element}${i === elements.length - 1 ? "]" : ","}`)
  )

/** How results are printed: as JSON, and as rows of which one column takes the width that is left. */
export interface Printing<A> {
  readonly toJson: (result: A) => string
  readonly heads: ReadonlyArray<string>
  readonly row: (result: A) => ReadonlyArray<string>
  readonly flexible: number
}

/** Prints results in the form that was asked for. */
export const writeResults = <A>(
  output: Output,
  results: ReadonlyArray<A>,
  { flexible, heads, row, toJson }: Printing<A>
): Effect.Effect<void> => {
  switch (output) {
    case "json":
      return writeJsonArray(results.map(toJson))
    case "ndjson":
      return writeLines(results.map(toJson))
    case "table":
      return writeLines(table(heads, results.map(row), { width: columns(), flexible }))
  }
}

/** Whether a stream is a terminal whose cursor can be moved. */
export const isScreen = (stream: NodeJS.WriteStream): boolean => stream.isTTY && process.env["TERM"] !== "dumb"

/** Columns that text is drawn into; undefined where it is not drawn but piped. */
export const columns = (): number | undefined => (process.stdout.isTTY ? process.stdout.columns : undefined)

const segmenter = new Intl.Segmenter()

/**
 * As much of a text as may go into so many columns, where four characters for each are enough: the rest of a megabyte is not worth
 * measuring.
 */
export const beginning = (text: string, width: number): string =>
  text.length <= 4 * width ? text : `${text.slice(0, 4 * width - 1)}…`

/** As much of a text as goes into so many columns, with an ellipsis where something is missing. */
export const cut = (text: string, width: number): string => {
  if (text.length <= 4 * width && displayWidth(text) <= width) return text
  let taken = ""
  let used = 0
  for (const { segment } of segmenter.segment(text.slice(0, 4 * width))) {
    const more = displayWidth(segment)
    if (used + more > width - 1) break
    taken += segment
    used += more
  }
  return `${taken}…`
}

const padded = (text: string, width: number): string => text + " ".repeat(Math.max(0, width - displayWidth(text)))

/** Columns that a cell keeps where there is no room: enough to tell some of them apart. */
const NARROWEST = 8

/**
 * Rows in columns under their heads. Where a width is given, no line is wider: a column takes half of it at most, and the column
 * `flexible` what the others leave, ten columns at least, for which the widest of them gives way.
 */
export const table = (
  heads: ReadonlyArray<string>,
  rows: ReadonlyArray<ReadonlyArray<string>>,
  options: { readonly width: number | undefined; readonly flexible: number }
): ReadonlyArray<string> => {
  const { flexible, width } = options
  const most = (column: number): number =>
    width === undefined ? Number.POSITIVE_INFINITY : column === flexible ? width : Math.max(10, Math.floor(width / 2))
  const cells = [heads, ...rows].map((row) =>
    row.map((cell, column) => (width === undefined ? plain(cell) : cut(plain(beginning(cell, width)), most(column))))
  )
  const widths = heads.map((_, column) =>
    cells.reduce((widest, row) => Math.max(widest, displayWidth(row[column]!)), 0)
  )
  if (width !== undefined) {
    const others = (): number => widths.reduce((sum, one, column) => sum + (column === flexible ? 0 : one + 2), 0)
    const missing = others() + Math.min(10, widths[flexible]!) - width
    if (missing > 0) {
      const widest = widths.reduce(
        (best, one, column) => (column !== flexible && one > widths[best]! ? column : best),
        flexible === 0 ? 1 : 0
      )
      widths[widest] = Math.min(widths[widest]!, Math.max(NARROWEST, widths[widest]! - missing))
    }
    widths[flexible] = Math.min(widths[flexible]!, Math.max(10, width - others()))
  }
  return cells.map((row) => {
    const line = row
      .map((cell, column) => {
        const fitting = width === undefined ? cell : cut(cell, widths[column]!)
        return column === row.length - 1 ? fitting : padded(fitting, widths[column]!)
      })
      .join("  ")
      .trimEnd()
    return width === undefined ? line : cut(line, width)
  })
}

/** `1 entry`, `2 entries`, or of other things. */
export const counted = (count: number, one = "entry", more = "entries"): string =>
  `${count} ${count === 1 ? one : more}`

const units: ReadonlyArray<readonly [name: string, millis: number]> = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1000]
]

/** How long ago, in the largest unit of which it is one at least. */
export const age = (timestamp: number, now: number): string => {
  if (timestamp < 0) return "unknown"
  const millis = Math.max(0, now - timestamp)
  for (const [name, size] of units) if (millis >= size) return `${Math.floor(millis / size)} ${name}`
  return "now"
}
