/**
 * Judges options as plain JavaScript may give them, so that a wrong name, number or string is refused when it is given,
 * and by name. A check says what is wrong with one value; `record` makes the check of a whole options object.
 */
import { Duration, Effect, Option } from "effect"
import { InvalidOption } from "../TableError.ts"

/** What is wrong: at which place among the options, what stands there, and what may. */
export interface Problem {
  readonly option: string
  readonly given: string
  readonly expected: string
}

/** Undefined when `value` may stand at the place `option`. What is left out is never asked about, unless by `required`. */
export type Check = (value: unknown, option: string) => Problem | undefined

const LONGEST_GIVEN = 80

/** How a value is named to whoever gave it. Of objects nothing is shown, since they may hold secrets. */
const shown = (value: unknown): string => {
  switch (typeof value) {
    case "string": {
      const text = JSON.stringify(value)
      return text.length <= LONGEST_GIVEN ? text : `${text.slice(0, LONGEST_GIVEN)}…`
    }
    case "function":
      return "a function"
    case "object":
      if (value === null) return "null"
      if (Duration.isDuration(value)) return Duration.format(value)
      return Array.isArray(value) ? "an array" : "an object"
    default:
      return typeof value === "bigint" ? `${value}n` : String(value)
  }
}

/** A check by a predicate. */
export const satisfies =
  (expected: string, holds: (value: unknown) => boolean): Check =>
  (value, option) =>
    holds(value) ? undefined : { option, given: shown(value), expected }

/** As `satisfies`, of a value that may not be shown: only its type is. */
export const secret =
  (expected: string, holds: (value: unknown) => boolean): Check =>
  (value, option) =>
    holds(value) ? undefined : { option, given: typeof value, expected }

/** The largest 32-bit integer: what the protocol and Node's timers take. */
export const MAX_INT32 = 2 ** 31 - 1

/** A whole number of at least `min`, and of at most `max` where that is given. */
export const integer = ({ max, min }: { readonly min: number; readonly max?: number }): Check => {
  const most = max ?? Number.MAX_SAFE_INTEGER
  return satisfies(
    `a whole number ${max === undefined ? `of at least ${min}` : `from ${min} to ${max}`}`,
    (value) => Number.isInteger(value) && (value as number) >= min && (value as number) <= most
  )
}

const durationFields = new Set([
  "weeks",
  "days",
  "hours",
  "minutes",
  "seconds",
  "milliseconds",
  "microseconds",
  "nanoseconds"
])

/** The milliseconds of a duration; NaN for what is none. (`Duration` itself reads NaN and unknown fields as 0.) */
const millisOf = (value: unknown): number => {
  if (typeof value === "number" && Number.isNaN(value)) return NaN
  if (Array.isArray(value)) {
    if (value.some(Number.isNaN)) return NaN
  } else if (typeof value === "object" && value !== null && !Duration.isDuration(value)) {
    const fields = Object.entries(value)
    if (fields.length === 0) return NaN
    for (const [name, part] of fields) if (!durationFields.has(name) || !Number.isFinite(part)) return NaN
  }
  return Option.match(Duration.fromInput(value as Duration.Input), { onNone: () => NaN, onSome: Duration.toMillis })
}

/** A duration that a timer can wait: of `min` milliseconds at least, and of 2^31 - 1 at most. */
export const duration = ({ min }: { readonly min: number }): Check =>
  satisfies(
    `a duration from ${min} to ${MAX_INT32} ms (24 days), for example "5 seconds"`,
    (value) => millisOf(value) >= min && millisOf(value) <= MAX_INT32
  )

/** One of these values. */
export const oneOf = (...values: ReadonlyArray<string | number | boolean>): Check =>
  satisfies(values.map((value) => JSON.stringify(value)).join(", "), (value) => values.some((one) => one === value))

export const boolean: Check = oneOf(true, false)

/** A string that is not empty. */
export const text: Check = satisfies("a string that is not empty", (value) => typeof value === "string" && value !== "")

export const isFunction = (value: unknown): boolean => typeof value === "function"

/** A value that one of the checks takes; what they expect is said together. */
export const either =
  (...checks: ReadonlyArray<Check>): Check =>
  (value, option) => {
    const problems: Array<Problem> = []
    for (const check of checks) {
      const problem = check(value, option)
      if (problem === undefined) return undefined
      // The value is an object that was meant for this check, and one of its own options is wrong.
      if (problem.option !== option) return problem
      problems.push(problem)
    }
    return { option, given: shown(value), expected: problems.map(({ expected }) => expected).join(", or ") }
  }

/** A check that also refuses what is left out. */
export const required = (check: Check): Check =>
  Object.assign((...at: Parameters<Check>) => check(...at), { required: true })

const isRequired = (check: Check): boolean => "required" in check

const isPlainObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/**
 * The check of an object of options: every name in it is known, and every value that is given passes its check. The
 * type asks for a check of every option of `Options`, so that a new one cannot be forgotten.
 */
export const record =
  <Options>(checks: { readonly [Name in keyof Required<Options>]: Check }): Check =>
  (value, option) => {
    if (!isPlainObject(value)) return { option, given: shown(value), expected: "an object of options" }
    const at = (name: string): string => (option === "" ? name : `${option}.${name}`)
    const names = Object.keys(checks)
    for (const name of Object.keys(value)) {
      if (!Object.hasOwn(checks, name)) {
        return {
          option: at(name),
          given: shown(value[name]),
          expected: names.length === 0 ? "no option here" : `no such option, but one of ${names.join(", ")}`
        }
      }
    }
    for (const name of names) {
      const check = (checks as Readonly<Record<string, Check>>)[name]!
      const given = value[name]
      if (given === undefined && !isRequired(check)) continue
      const problem = check(given, at(name))
      if (problem !== undefined) return problem
    }
    return undefined
  }

/** The check of a union of options objects that `tag` tells apart. */
export const tagged = (tag: string, cases: Readonly<Record<string, Check>>): Check => {
  const isCase = oneOf(...Object.keys(cases))
  return (value, option) => {
    if (!isPlainObject(value)) return { option, given: shown(value), expected: "an object of options" }
    const problem = isCase(value[tag], option === "" ? tag : `${option}.${tag}`)
    return problem ?? cases[value[tag] as string]!(value, option)
  }
}

/** A check of several, in their order: the later ones may take for granted what the earlier ones took. */
export const every =
  (...checks: ReadonlyArray<Check>): Check =>
  (value, option) => {
    for (const check of checks) {
      const problem = check(value, option)
      if (problem !== undefined) return problem
    }
    return undefined
  }

/** Settings of a topic or broker by their names: strings, as Kafka has them. */
export const settings: Check = satisfies(
  "an object of settings, each a string",
  (value) => isPlainObject(value) && Object.values(value).every((setting) => typeof setting === "string")
)

/** The error that refuses `options`, or undefined when they pass. */
export const invalidOption = (check: Check, options: unknown, topic?: string): InvalidOption | undefined => {
  const problem = check(options, "")
  if (problem === undefined) return undefined
  const option = problem.option === "" ? "options" : problem.option
  return new InvalidOption({ ...problem, option, ...(topic === undefined ? {} : { topic }) })
}

/** Fails with what refuses `options`. */
export const checked = (check: Check, options: unknown, topic?: string): Effect.Effect<void, InvalidOption> =>
  Effect.suspend(() => {
    const error = invalidOption(check, options, topic)
    return error === undefined ? Effect.void : Effect.fail(error)
  })

/** Throws what refuses `options`, where no effect could fail with it. */
export const assertValid = (check: Check, options: unknown, topic?: string): void => {
  const error = invalidOption(check, options, topic)
  if (error !== undefined) throw error
}
