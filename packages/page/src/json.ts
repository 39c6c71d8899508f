/** JSON values as people read them: one line, many lines, and what differs between two. */
import type { WireValue } from "../../http/src/internal/wire.ts"

/** A value that is no JSON, or not as JSON would be printed: its text, or its bytes in base64. */
export class Raw {
  readonly text: string
  readonly form: "text" | "base64"

  constructor(text: string, form: "text" | "base64") {
    this.text = text
    this.form = form
  }

  toJSON(): string {
    return this.text
  }
}

/** A value as it travels. */
export const valueOf = ([value, form]: WireValue): unknown =>
  form === undefined ? value : new Raw(String(value), form)

export type TokenKind = "key" | "string" | "number" | "word" | "mark"

/** A piece of text of one colour. */
export interface Token {
  readonly kind: TokenKind
  readonly text: string
}

export type Line = ReadonlyArray<Token>

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Raw)

const mark = (text: string): Token => ({ kind: "mark", text })

const scalar = (value: unknown): Token => {
  if (value instanceof Raw) return { kind: value.form === "text" ? "string" : "word", text: value.text }
  switch (typeof value) {
    case "string":
      return { kind: "string", text: JSON.stringify(value) }
    case "number":
      return { kind: "number", text: String(value) }
    default:
      return { kind: "word", text: String(value) }
  }
}

/** The beginning of a value in one line: as many tokens as make up `limit` characters. */
export const preview = (value: unknown, limit: number): Line => {
  const tokens: Array<Token> = []
  let room = limit
  const add = (token: Token) => {
    room -= token.text.length
    tokens.push(token.text.length > limit ? { ...token, text: `${token.text.slice(0, limit)}…` } : token)
  }
  const walk = (value: unknown): void => {
    if (room <= 0) return
    if (Array.isArray(value)) {
      add(mark("["))
      for (const [i, item] of value.entries()) {
        if (room <= 0) return
        if (i > 0) add(mark(", "))
        walk(item)
      }
      add(mark("]"))
    } else if (isObject(value)) {
      add(mark("{ "))
      let isFirst = true
      for (const name in value) {
        if (room <= 0) return
        if (!isFirst) add(mark(", "))
        isFirst = false
        add({ kind: "key", text: name })
        add(mark(": "))
        walk(value[name])
      }
      add(mark(" }"))
    } else add(scalar(value))
  }
  walk(value)
  if (room <= 0) tokens.push(mark("…"))
  return tokens
}

/** A value in lines, indented by two spaces. */
export const lines = (value: unknown): ReadonlyArray<Line> => {
  if (value instanceof Raw) {
    const kind = value.form === "text" ? "string" : "word"
    return value.text.split("\n").map((text) => [{ kind, text }])
  }
  const out: Array<Line> = []
  let line: Array<Token> = []
  const end = () => {
    out.push(line)
    line = []
  }
  const list = (
    open: string,
    close: string,
    indent: string,
    items: ReadonlyArray<readonly [name: string | undefined, value: unknown]>
  ) => {
    line.push(mark(open))
    for (const [i, [name, item]] of items.entries()) {
      end()
      line.push(mark(`${indent}  `))
      if (name !== undefined) line.push({ kind: "key", text: JSON.stringify(name) }, mark(": "))
      walk(item, `${indent}  `)
      if (i < items.length - 1) line.push(mark(","))
    }
    if (items.length > 0) {
      end()
      line.push(mark(indent))
    }
    line.push(mark(close))
  }
  const walk = (value: unknown, indent: string): void => {
    if (Array.isArray(value)) {
      list(
        "[",
        "]",
        indent,
        value.map((item) => [undefined, item])
      )
    } else if (isObject(value)) list("{", "}", indent, Object.entries(value))
    else line.push(scalar(value))
  }
  walk(value, "")
  end()
  return out
}

export const textOf = (line: Line): string => line.map(({ text }) => text).join("")

/** Whether two JSON values are the same. */
export const isSame = (a: unknown, b: unknown): boolean => {
  if (a === b) return true
  if (a instanceof Raw) return b instanceof Raw && a.text === b.text && a.form === b.form
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, i) => isSame(item, b[i]))
  }
  if (!isObject(a) || !isObject(b)) return false
  const names = Object.keys(a)
  return (
    names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && isSame(a[name], b[name]))
  )
}

/** A place in a value where another value stands now; undefined where there was or is none. */
export interface Difference {
  readonly path: string
  readonly before: unknown
  readonly after: unknown
}

/** Where two values differ, the first `limit` places. */
export const differences = (before: unknown, after: unknown, limit: number): ReadonlyArray<Difference> => {
  const found: Array<Difference> = []
  const walk = (before: unknown, after: unknown, path: string): void => {
    if (found.length >= limit || isSame(before, after)) return
    if (isObject(before) && isObject(after)) {
      for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
        walk(before[name], after[name], path === "" ? name : `${path}.${name}`)
      }
    } else found.push({ path, before, after })
  }
  walk(before, after, "")
  return found
}
