/**
 * A file of entries, and what has to be written so that a topic has them.
 */
import { Effect, Result } from "effect"
import { byKey, differencesOf, type Entry, idOf, isSameBytes, keyText, type Names } from "./entries.ts"
import { type CommandFailed, failed } from "./failure.ts"
import { entryOf, type FileEntry } from "./fileLines.ts"
import { linesOf } from "./files.ts"
import { plain, textOf } from "./formats.ts"
import { counted, cut } from "./output.ts"

/** By key. */
export type Contents = ReadonlyMap<string, FileEntry>

/** Mistakes that are named: the others are counted. */
const NAMED = 10

/** Reads all lines before anything is written; names those that are wrong by their numbers. */
export const contentsOf = (names: Names, file: string, bytes: Buffer): Effect.Effect<Contents, CommandFailed> => {
  const contents = new Map<string, FileEntry>()
  const lines = new Map<string, number>()
  const mistakes: Array<string> = []
  let number = 0
  for (const line of linesOf(bytes)) {
    number++
    const text = textOf(line)
    if (text !== undefined && text.trim() === "") continue
    // The last line of what `at` prints.
    if (text?.startsWith('{"complete":true,')) continue
    if (text?.startsWith('{"complete":false,')) {
      mistakes.push(`line ${number}: it says that keys may be missing; leave it out to import the others all the same`)
      continue
    }
    const read = text === undefined ? Result.fail("it is not UTF-8") : entryOf(names, text)
    if (Result.isFailure(read)) {
      mistakes.push(`line ${number}: ${plain(read.failure)}`)
      continue
    }
    const id = idOf(read.success.key)
    const before = lines.get(id)
    if (before !== undefined) mistakes.push(`line ${number}: it has the key of line ${before}`)
    contents.set(id, read.success)
    lines.set(id, number)
  }
  if (mistakes.length === 0) return Effect.succeed(contents)
  const more = mistakes.length > NAMED ? `\n  and ${mistakes.length - NAMED} more` : ""
  const named = mistakes.slice(0, NAMED).join("\n  ")
  const wrong = `${counted(mistakes.length, "line is", "lines are")} wrong`
  return Effect.fail(failed("usage", `nothing was written, since in ${plain(file)} ${wrong}:\n  ${named}${more}`))
}

export interface Difference {
  readonly added: ReadonlyArray<FileEntry>
  readonly changed: ReadonlyArray<FileEntry>
  /** What the topic has and the file has not, in the order of keys. */
  readonly absent: ReadonlyArray<Uint8Array>
  readonly unchanged: number
}

const isSame = (entry: Entry, wanted: FileEntry): boolean =>
  isSameBytes(entry.value, wanted.value) &&
  entry.headers.length === wanted.headers.length &&
  entry.headers.every(({ key, value }, i) => {
    const other = wanted.headers[i]!
    return key === other.key && isSameBytes(value, other.value)
  })

/** From what the topic has to what the file has. */
export const differenceOf = (entries: Iterable<Entry>, wanted: Contents): Difference => {
  const { added, changed, removed, unchanged } = differencesOf(entries, wanted, isSame)
  return {
    added,
    changed: changed.map(({ to }) => to),
    absent: [...removed].sort(byKey).map(({ key }) => key),
    unchanged
  }
}

/** Keys that are shown of many. */
const EXAMPLES = 5

const examples = (names: Names, keys: ReadonlyArray<Uint8Array>): string => {
  const shown = keys.slice(0, EXAMPLES).map((key) => cut(plain(keyText(names, key)), 40))
  return `${shown.join(", ")}${keys.length > EXAMPLES ? ", …" : ""}`
}

const keysOf = (entries: ReadonlyArray<FileEntry>): ReadonlyArray<Uint8Array> => entries.map(({ key }) => key)

/** What would be done, in numbers and examples. */
export const described = (
  names: Names,
  { absent, added, changed, unchanged }: Difference,
  replace: boolean
): string => {
  const lines: ReadonlyArray<readonly [what: string, because: string, keys: ReadonlyArray<Uint8Array>]> = [
    ["add", "", keysOf(added)],
    ["change", "", keysOf(changed)],
    replace ? ["delete", "", absent] : ["leave", ", which the file has not", absent]
  ]
  return [
    ...lines.flatMap(([what, because, keys]) =>
      keys.length === 0 ? [] : [`  ${what} ${keys.length}${because}: ${examples(names, keys)}`]
    ),
    ...(unchanged === 0 ? [] : [`  leave ${unchanged}, since the topic has them already`])
  ].join("\n")
}
