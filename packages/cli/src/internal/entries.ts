/**
 * Entries of a topic as people and programs read them.
 */
import type * as TableEntry from "effect-ktables/TableEntry"
import type * as Formats from "./formats.ts"
import { quoted, shown, textOf } from "./formats.ts"
import { age, type Printing } from "./output.ts"

/** Keys and values stay bytes until they are shown, so that none is left out for its format. */
export type Entry = TableEntry.WithHeaders<Uint8Array, Uint8Array>

export interface Names {
  readonly key: Formats.Name
  readonly value: Formats.Name
}

/** Bytes as something that a native map finds. */
export const idOf = (key: Uint8Array): string =>
  Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("latin1")

/** By their bytes, which for text is the order of its code points. */
export const byKey = (a: { readonly key: Uint8Array }, b: { readonly key: Uint8Array }): number =>
  Buffer.compare(a.key, b.key)

export const keyText = (names: Names, key: Uint8Array): string => shown(names.key, key).text

/** What is in none of the expected format is said to be so. */
export const cell = (name: Formats.Name, bytes: Uint8Array): string => {
  const { isForeign, text } = shown(name, bytes)
  return isForeign ? `(not ${name}) ${text}` : text
}

/** `"key":…`, or `"keyHex":…` where the bytes are of another format than was named. */
export const field = (part: "key" | "value", name: Formats.Name, bytes: Uint8Array): string => {
  const { isForeign, json } = shown(name, bytes)
  return `"${part}${isForeign ? "Hex" : ""}":${json}`
}

/** A header, whose bytes can be read from it again. */
export const headerJson = ({ key, value }: TableEntry.Header): string => {
  if (value === null) return `{"key":${quoted(key)},"value":null}`
  const text = textOf(value)
  return text === undefined
    ? `{"key":${quoted(key)},"valueHex":${quoted(Buffer.from(value).toString("hex"))}}`
    : `{"key":${quoted(key)},"value":${quoted(text)}}`
}

type Place = Pick<Entry, "partition" | "offset" | "timestamp">

/** Where a record is, and when it was written. */
export const place = ({ offset, partition, timestamp }: Place): string =>
  `"partition":${partition},"offset":${offset},"timestamp":${timestamp < 0 ? "null" : timestamp}`

/** What a record says beside key and value. */
export const surroundings = (record: Place & Pick<Entry, "headers">): string =>
  `${place(record)},"headers":[${record.headers.map(headerJson).join(",")}]`

export const toJson = (names: Names, entry: Entry): string =>
  `{${field("key", names.key, entry.key)},${field("value", names.value, entry.value)},${surroundings(entry)}}`

/** Entries as results. */
export const listing = (names: Names, now: number): Printing<Entry> => ({
  toJson: (entry) => toJson(names, entry),
  heads: ["KEY", "PARTITION", "OFFSET", "AGE", "VALUE"],
  row: ({ key, offset, partition, timestamp, value }) => [
    cell(names.key, key),
    String(partition),
    String(offset),
    age(timestamp, now),
    cell(names.value, value)
  ],
  flexible: 4
})

export const isSameBytes = (a: Uint8Array | null, b: Uint8Array | null): boolean =>
  a === null || b === null ? a === b : Buffer.compare(a, b) === 0

/** What is between two sets of entries, by their keys. */
export interface Differences<A, B> {
  readonly added: ReadonlyArray<B>
  readonly changed: ReadonlyArray<{ readonly from: A; readonly to: B }>
  readonly removed: ReadonlyArray<A>
  readonly unchanged: number
}

/** @param to by `idOf` of their keys */
export const differencesOf = <A extends Pick<Entry, "key">, B>(
  from: Iterable<A>,
  to: ReadonlyMap<string, B>,
  isSame: (from: A, to: B) => boolean
): Differences<A, B> => {
  const before = new Map(Array.from(from, (entry) => [idOf(entry.key), entry] as const))
  const added: Array<B> = []
  const changed: Array<{ readonly from: A; readonly to: B }> = []
  let unchanged = 0
  for (const [id, entry] of to) {
    const was = before.get(id)
    if (was === undefined) added.push(entry)
    else if (isSame(was, entry)) unchanged++
    else changed.push({ from: was, to: entry })
  }
  return { added, changed, removed: [...before].flatMap(([id, entry]) => (to.has(id) ? [] : [entry])), unchanged }
}

export const headerText = ({ key, value }: TableEntry.Header): string =>
  `${key}=${value === null ? "(null)" : (textOf(value) ?? `(hex) ${Buffer.from(value).toString("hex")}`)}`

/** How many of the entries are in another format than was named, as a sentence that says what to do. */
export const foreignNote = (names: Names, entries: Iterable<Entry>): string | undefined => {
  let keys = 0
  let values = 0
  for (const { key, value } of entries) {
    if (shown(names.key, key).isForeign) keys++
    if (shown(names.value, value).isForeign) values++
  }
  const parts = [
    ...(keys > 0 ? [`${keys} ${keys === 1 ? "key is" : "keys are"} not ${names.key} (see --key)`] : []),
    ...(values > 0 ? [`${values} ${values === 1 ? "value is" : "values are"} not ${names.value} (see --value)`] : [])
  ]
  return parts.length === 0 ? undefined : `${parts.join(", ")}; shown in hexadecimal`
}
