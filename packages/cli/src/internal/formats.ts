/**
 * Keys and values between bytes and the text that people type and read.
 *
 * JSON is never written again by way of JavaScript's numbers: what is in the record is what is shown, and what is typed is
 * what is written.
 */
import { Result } from "effect"

export const names = ["json", "string", "bytes", "hex"] as const

export type Name = (typeof names)[number]

/** Bytes as text for people, and as JSON on one line. */
export interface Shown {
  readonly text: string
  readonly json: string
}

export interface Format {
  /** For messages: "is not JSON". */
  readonly noun: string
  /** Undefined where the bytes are not of this format. */
  readonly decode: (bytes: Uint8Array) => Shown | undefined
  /** What is wrong with the text is its failure. */
  readonly encode: (text: string) => Result.Result<Uint8Array, string>
  /** JSON on one line from which `fromJson` has the same bytes again; undefined where there is none. */
  readonly toJson: (bytes: Uint8Array) => string | undefined
  /** Takes JSON as it stands in a line, without spaces around it. */
  readonly fromJson: (json: string) => Result.Result<Uint8Array, string>
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

export const textOf = (bytes: Uint8Array): string | undefined => {
  try {
    return utf8.decode(bytes)
  } catch {
    return undefined
  }
}

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`

/**
 * JSON on one line, and without characters that a terminal takes for commands, or that change the direction of text. Line breaks in it stand between tokens, the
 * others within strings, so its meaning stays.
 */
export const oneLine = (json: string): string =>
  // oxlint-disable-next-line no-control-regex
  json.replaceAll(/[\n\r]/g, " ").replaceAll(/[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, escaped)

export const quoted = (text: string): string => oneLine(JSON.stringify(text))

/** Text for a terminal: what would move its cursor, change its colours or the direction of text is written out. */
export const plain = (text: string): string =>
  // oxlint-disable-next-line no-control-regex
  text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, escaped)

const whyNotJson = (text: string): string | undefined => {
  try {
    JSON.parse(text)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** Text that is no JSON of its own is a string in JSON. */
const asText = (text: string): Shown => ({ text, json: quoted(text) })

/** A format whose JSON is a string that holds its text. */
const inStrings = (base: Omit<Format, "toJson" | "fromJson">): Format => ({
  ...base,
  toJson: (bytes) => base.decode(bytes)?.json,
  fromJson: (json) => {
    const text: unknown = JSON.parse(json)
    return typeof text === "string" && text.isWellFormed()
      ? base.encode(text)
      : Result.fail(`it is no string of ${base.noun}`)
  }
})

const byName: Readonly<Record<Name, Format>> = {
  json: {
    noun: "JSON",
    decode: (bytes) => {
      const text = textOf(bytes)
      if (text === undefined || whyNotJson(text) !== undefined) return undefined
      const json = oneLine(text)
      return { text: json, json }
    },
    encode: (text) => {
      const wrong = whyNotJson(text)
      return wrong === undefined
        ? Result.succeed(Buffer.from(text))
        : Result.fail(`it is not JSON (${plain(wrong)}); text goes into quotes: ${JSON.stringify(text)}`)
    },
    toJson: (bytes) => {
      const text = textOf(bytes)
      if (text === undefined || whyNotJson(text) !== undefined) return undefined
      return text.trim() === text && oneLine(text) === text ? text : undefined
    },
    fromJson: (json) => Result.succeed(Buffer.from(json))
  },
  string: inStrings({
    noun: "UTF-8 text",
    decode: (bytes) => {
      const text = textOf(bytes)
      return text === undefined ? undefined : asText(text)
    },
    encode: (text) => Result.succeed(Buffer.from(text))
  }),
  bytes: inStrings({
    noun: "base64",
    decode: (bytes) => asText(bufferOf(bytes).toString("base64")),
    encode: (text) => {
      const bytes = Buffer.from(text, "base64")
      return bytes.toString("base64") === text
        ? Result.succeed(bytes)
        : Result.fail("it is not base64, with its padding")
    }
  }),
  hex: inStrings({
    noun: "hexadecimal",
    decode: (bytes) => asText(bufferOf(bytes).toString("hex")),
    encode: (text) =>
      /^([0-9a-f]{2})*$/i.test(text)
        ? Result.succeed(Buffer.from(text, "hex"))
        : Result.fail("it is not hexadecimal: two digits for each byte, as 00ff")
  })
}

export const format = (name: Name): Format => byName[name]

/** Bytes in their format, or in hexadecimal where they are of another one. */
export const shown = (name: Name, bytes: Uint8Array): Shown & { readonly isForeign: boolean } => {
  const decoded = byName[name].decode(bytes)
  if (decoded !== undefined) return { ...decoded, isForeign: false }
  return { ...byName.hex.decode(bytes)!, isForeign: true }
}
