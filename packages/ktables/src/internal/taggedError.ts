/** Errors that are printed whole: with their message, their place in the program, their fields and their cause. */
import * as Schema from "effect/Schema"

/** Node, Bun and Deno ask it of what they print. */
const inspection = Symbol.for("nodejs.util.inspect.custom")

type Inspect = (value: unknown, options: object) => string

/** Effect's own errors print their fields only, so that `console.log` would show neither the message nor where it is from. */
export const printedWhole = <Class extends { readonly prototype: object }>(base: Class): Class => {
  Object.defineProperty(base.prototype, inspection, {
    configurable: true,
    writable: true,
    value(this: Error, depth: number, options: object, inspect: Inspect): string {
      const text = `${this.name}: ${this.message}`
      if (depth < 0) return `[${text}]`
      const frames = (this.stack ?? "").split("\n").filter((line) => /^ {4}at /.test(line))
      const { name: _, message: __, stack: ___, ...fields } = this as Error & Record<string, unknown>
      // A cause is not among what can be enumerated.
      if (this.cause !== undefined) fields["cause"] = this.cause
      return `${[text, ...frames].join("\n")} ${inspect(fields, options)}`
    }
  })
  return base
}

/**
 * Makes an error without a stack: taking one costs more than all else about a refusal, of which a log may be full, and shows
 * nothing but the library.
 */
export const withoutStack = <E extends Error>(make: () => E): E => {
  const limit = Error.stackTraceLimit
  // Where it may not be set, stacks are taken.
  Reflect.set(Error, "stackTraceLimit", 0)
  try {
    return make()
  } finally {
    Reflect.set(Error, "stackTraceLimit", limit)
  }
}

/** `Schema.TaggedError` of errors that are printed whole. */
export const TaggedError: typeof Schema.TaggedError = ((identifier?: string) => {
  // A class of any error, whose fields its caller's types tell.
  const make = Schema.TaggedError<Error>(identifier)
  return (tag: string, fields: Schema.Struct.Fields) => printedWhole(make(tag, fields))
}) as unknown as typeof Schema.TaggedError
