/**
 * A text for a key that is an object: two keys have one text when `Equal` calls them equal, and else never. A native map of
 * such texts has a hash that nobody can choose keys for, which Effect's own has not.
 */
import * as Equal from "effect/Equal"
import * as Hash from "effect/Hash"
import * as Option from "effect/Option"
import * as Result from "effect/Result"

/** Below this depth an object is looked for among those that it lies in. */
const DEEP = 32

const functions = new WeakMap<object, string>()
let functionCount = 0
/** Functions are equal to themselves alone. */
const textOfFunction = (it: object): string => {
  let text = functions.get(it)
  if (text === undefined) functions.set(it, (text = `f${functionCount++}`))
  return text
}

/** Where `Equal` compares fields: also those of the classes, but for their constructors. */
const fieldsOf = (it: object): ReadonlyArray<string> | undefined => {
  const own = Reflect.ownKeys(it)
  let fields = own
  if (it.constructor !== Object) {
    const all = new Set(own)
    if (it instanceof Error) all.delete("stack")
    const prototype: object | null = Object.getPrototypeOf(it)
    for (let at = prototype; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
      for (const field of Reflect.ownKeys(at)) all.add(field)
    }
    if (typeof it.constructor === "function" && prototype === it.constructor.prototype) all.delete("constructor")
    fields = [...all]
  }
  for (const field of fields) if (typeof field === "symbol") return undefined
  return (fields as Array<string>).sort()
}

/** Arguments that a call surely takes. */
const PIECE = 4096

/** A character per byte. */
const textOfBytes = (it: Uint8Array): string => {
  let text = ""
  for (let at = 0; at < it.length; at += PIECE) text += String.fromCharCode(...it.subarray(at, at + PIECE))
  return text
}

/** Arrays of numbers are equal where they hold the same and take as many bytes, of whatever type. */
const textOfNumbers = (it: ArrayBufferView): string | undefined => {
  if (it instanceof Uint8Array) {
    return `B${it.byteLength}:${textOfBytes(it)}`
  }
  if (it.byteLength === 0) return "B0:"
  if (it instanceof DataView) return undefined
  const numbers = Array.from(it as unknown as Iterable<number | bigint>)
  // What is no number is not even equal to itself.
  if (numbers.some((n) => Number.isNaN(n))) return undefined
  const areBytes = it.byteLength === numbers.length && numbers.every((n) => n >= 0)
  return areBytes ? textOfNumbers(Uint8Array.from(numbers as Array<number>)) : `V${it.byteLength}[${numbers.join()}]`
}

/** Texts within others say how long they are, so that no two of different parts run into one. */
const textOf = (it: unknown, path: Array<object>): string | undefined => {
  switch (typeof it) {
    case "string":
      return `"${it.length}:${it}`
    case "bigint":
      return `${it}n`
    case "symbol":
      return undefined
    case "function":
      return Equal.symbol in it || Hash.symbol in it ? undefined : textOfFunction(it)
    case "object":
      return it === null ? "null" : textOfObject(it, path)
    default:
      // Negative zero has the text of zero, which it equals.
      return String(it)
  }
}

/** The texts of all; undefined if one has none. */
const textsOf = (all: Iterable<unknown>, path: Array<object>): Array<string> | undefined => {
  const texts: Array<string> = []
  for (const one of all) {
    const text = textOf(one, path)
    if (text === undefined) return undefined
    texts.push(text)
  }
  return texts
}

const wrapped = (before: string, texts: ReadonlyArray<string> | undefined): string | undefined =>
  texts && `${before}[${texts.join()}]`

const textOfParts = (it: object, path: Array<object>): string | undefined => {
  if (it instanceof Date) return `D${it.getTime()}`
  if (it instanceof RegExp) return `R${textOf(it.toString(), path)}`
  if (Equal.symbol in it || Hash.symbol in it) {
    if (Option.isOption(it)) return Option.isNone(it) ? "None" : wrapped("Some", textsOf([it.value], path))
    if (Result.isResult(it)) {
      return Result.isSuccess(it)
        ? wrapped("Success", textsOf([it.success], path))
        : wrapped("Failure", textsOf([it.failure], path))
    }
    return undefined
  }
  if (Array.isArray(it)) return wrapped("", textsOf(it, path))
  if (ArrayBuffer.isView(it)) return textOfNumbers(it)
  if (it instanceof ArrayBuffer || it instanceof SharedArrayBuffer) return undefined
  if (it instanceof Set) return wrapped("Set", textsOf(it, path)?.sort())
  if (it instanceof Map) return wrapped("Map", textsOf(it, path)?.sort())
  const fields = fieldsOf(it)
  if (fields === undefined) return undefined
  let text = "{"
  for (const field of fields) {
    const part = textOf((it as Readonly<Record<string, unknown>>)[field], path)
    if (part === undefined) return undefined
    text += `${field.length}:${field}=${part},`
  }
  return `${text}}`
}

const textOfObject = (it: object, path: Array<object>): string | undefined => {
  if (path.length > DEEP && path.includes(it)) return undefined
  path.push(it)
  const text = textOfParts(it, path)
  path.pop()
  return text
}

/** Undefined where only `Equal` itself can tell: some part says of itself what it equals, or leads back to itself. */
export const keyText = (key: object): string | undefined => textOfObject(key, [])

/** A key that cannot be looked for throws here, where nothing is written yet. */
export const look = (key: unknown): void => {
  if (typeof key === "object" && key !== null && keyText(key) === undefined) Hash.hash(key)
}
