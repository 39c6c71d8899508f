/**
 * An entry as a line of a file, from which its bytes come back as they were: what `export` writes and `import` reads.
 *
 * A part whose bytes are not of the format that was named, or would not come back from it, is written in hexadecimal, under a
 * name that says so.
 */
import { Result } from "effect"
import type { KafkaTableWriter } from "effect-ktables"
import { headerJson, type Names } from "./entries.ts"
import { format, type Name, quoted } from "./formats.ts"

/** What is kept of an entry. */
export interface FileEntry {
  readonly key: Uint8Array
  readonly value: Uint8Array
  readonly headers: ReadonlyArray<{ readonly key: string; readonly value: Uint8Array | null }>
}

const part = (label: "key" | "value", name: Name, bytes: Uint8Array): string => {
  const json = format(name).toJson(bytes)
  return json === undefined ? `"${label}Hex":${format("hex").toJson(bytes)!}` : `"${label}":${json}`
}

export const lineOf = (names: Names, { headers, key, value }: FileEntry): string => {
  const rest = headers.length === 0 ? "" : `,"headers":[${headers.map(headerJson).join(",")}]`
  return `{${part("key", names.key, key)},${part("value", names.value, value)}${rest}}`
}

/** Where a token of valid JSON ends: a string, or what stands up to the next comma or bracket of its own level. */
const endOf = (json: string, start: number): number => {
  let depth = 0
  for (let i = start; i < json.length; i++) {
    const character = json[i]!
    if (character === '"') {
      for (i++; json[i] !== '"'; i++) if (json[i] === "\\") i++
    } else if (character === "{" || character === "[") depth++
    else if (depth === 0 && (character === "," || character === "}" || character === "]" || character === ":")) return i
    else if (character === "}" || character === "]") depth--
  }
  return json.length
}

/** The members of an object in valid JSON, as they are written: numbers keep their digits. */
const membersOf = (json: string): Result.Result<ReadonlyMap<string, string>, string> => {
  const members = new Map<string, string>()
  const text = json.trim()
  for (let at = 1; text.slice(at, -1).trim() !== "";) {
    const colon = endOf(text, at)
    const name = JSON.parse(text.slice(at, colon)) as string
    const end = endOf(text, colon + 1)
    if (members.has(name)) return Result.fail(`it has ${quoted(name)} twice`)
    members.set(name, text.slice(colon + 1, end).trim())
    at = end + 1
  }
  return Result.succeed(members)
}

/** What `ls` says beside key and value may stand in a line; it is not written. */
const known = new Set(["key", "keyHex", "value", "valueHex", "headers", "partition", "offset", "timestamp"])

const bytesOf = (
  members: ReadonlyMap<string, string>,
  label: "key" | "value",
  name: Name
): Result.Result<Uint8Array, string> => {
  const json = members.get(label)
  const hex = members.get(`${label}Hex`)
  if (json !== undefined && hex !== undefined) return Result.fail(`it has both ${label} and ${label}Hex`)
  if (hex !== undefined) return Result.mapError(format("hex").fromJson(hex), (why) => `its ${label}Hex: ${why}`)
  if (json === undefined) return Result.fail(`it has no ${label}`)
  return Result.mapError(format(name).fromJson(json), (why) => `its ${label}, as --${label} ${name}: ${why}`)
}

const headerOf = (given: unknown): KafkaTableWriter.HeaderInput | undefined => {
  if (typeof given !== "object" || given === null) return undefined
  const { key, value, valueHex } = given as { readonly [Field in "key" | "value" | "valueHex"]?: unknown }
  if (typeof key !== "string" || !key.isWellFormed()) return undefined
  if (value === null && valueHex === undefined) return { key, value }
  if (typeof value === "string" && value.isWellFormed() && valueHex === undefined) return { key, value }
  if (typeof valueHex !== "string" || value !== undefined) return undefined
  const bytes = format("hex").encode(valueHex)
  return Result.isSuccess(bytes) ? { key, value: bytes.success } : undefined
}

const headersOf = (json: string | undefined): Result.Result<FileEntry["headers"], string> => {
  const given: unknown = json === undefined ? [] : JSON.parse(json)
  const headers = Array.isArray(given) ? given.map(headerOf) : [undefined]
  const wrong = 'its headers are not [{"key":…,"value":…}], with a string or null, or with "valueHex"'
  if (headers.includes(undefined)) return Result.fail(wrong)
  return Result.succeed(
    headers.map((header) => ({
      key: header!.key,
      value: typeof header!.value === "string" ? Buffer.from(header!.value) : header!.value
    }))
  )
}

/** What is wrong with the line is its failure. */
export const entryOf = (names: Names, line: string): Result.Result<FileEntry, string> =>
  Result.gen(function* () {
    const parsed: unknown = yield* Result.try({
      try: () => JSON.parse(line),
      catch: (error) => `it is not JSON (${error instanceof Error ? error.message : String(error)})`
    })
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
      return yield* Result.fail('it is no object as {"key":…,"value":…}')
    }
    const members = yield* membersOf(line)
    for (const name of members.keys()) {
      if (!known.has(name)) return yield* Result.fail(`it has ${quoted(name)}, which nothing is known of`)
    }
    const key = yield* bytesOf(members, "key", names.key)
    const value = yield* bytesOf(members, "value", names.value)
    return { key, value, headers: yield* headersOf(members.get("headers")) }
  })
