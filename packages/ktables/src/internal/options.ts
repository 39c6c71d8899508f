/**
 * Judges options as plain JavaScript may give them, so that a wrong name, number or string is refused when it is given,
 * and by name. A check says what is wrong with one value; `record` makes the check of a whole options object.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
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
    case "object": {
      if (value === null) return "null"
      if (Duration.isDuration(value)) return Duration.format(value)
      if (Array.isArray(value)) return "an array"
      const kind = kindOf(value)
      return kind === "Object" ? "an object" : `${/^[AEIOU]/.test(kind) ? "an" : "a"} ${kind}`
    }
    default:
      return typeof value === "bigint" ? `${value}n` : String(value)
  }
}

/** `Object` of an object literal and of an instance of most classes; of what is built in, its name: `Map`, `Date`. */
const kindOf = (value: object): string => Object.prototype.toString.call(value).slice("[object ".length, -1)

/** A getter or a proxy throws: nobody can say what stands there, only that it may not. */
const UNREADABLE = "what throws when it is looked at"

/** The problem that a look at `option` finds; a look that throws has found one. */
const lookedAt = (option: string, look: () => Problem | undefined): Problem | undefined => {
  try {
    return look()
  } catch {
    return { option, given: UNREADABLE, expected: "a value that can be read" }
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

/** An object of options, of a class or none: a `Map` or a `Date` has no names that could be wrong, and would be none. */
const isOptions = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && (kindOf(value) === "Object" || Object.getPrototypeOf(value) === null)

const at = (option: string, name: string): string => (option === "" ? name : `${option}.${name}`)

const noOptions = (value: unknown, option: string): Problem => ({
  option,
  given: shown(value),
  expected: "an object of options"
})

/** The checks of an object, by name: the type asks for one of every name, so that a new one cannot be forgotten. */
type ChecksOf<A> = { readonly [Name in keyof Required<A>]: Check }

/** The check of an object's values under some names; under others there may be anything. */
export const fields =
  <A>(checks: ChecksOf<A>): Check =>
  (value, option) => {
    if (!isOptions(value)) return noOptions(value, option)
    for (const [name, check] of Object.entries<Check>(checks)) {
      const problem = lookedAt(at(option, name), () => {
        const given = value[name]
        return given === undefined && !isRequired(check) ? undefined : check(given, at(option, name))
      })
      if (problem !== undefined) return problem
    }
    return undefined
  }

/** The check of an object of options: every name in it is known, and every value that is given passes its check. */
export const record = <Options>(checks: ChecksOf<Options>): Check => {
  const names = Object.keys(checks)
  const expected = names.length === 0 ? "no option here" : `no such option, but one of ${names.join(", ")}`
  const known: Check = (value, option) => {
    if (!isOptions(value)) return noOptions(value, option)
    const unknown = Object.keys(value).find((name) => !Object.hasOwn(checks, name))
    if (unknown === undefined) return undefined
    const place = at(option, unknown)
    return lookedAt(place, () => ({ option: place, given: shown(value[unknown]), expected }))
  }
  return every(known, fields(checks))
}

/** The check of a union of options objects that `tag` tells apart. */
export const tagged = (tag: string, cases: Readonly<Record<string, Check>>): Check => {
  const isCase = required(oneOf(...Object.keys(cases)))
  return every(fields({ [tag]: isCase }), (value, option) =>
    cases[(value as Readonly<Record<string, string>>)[tag]!]!(value, option)
  )
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
  (value) => isOptions(value) && Object.values(value).every((setting) => typeof setting === "string")
)

/** The error that refuses what was given, or undefined when it passes. What it is, when not `options`, is `option`. */
export const invalidOption = (check: Check, given: unknown, topic?: string, option = ""): InvalidOption | undefined => {
  const problem = lookedAt(option, () => check(given, option))
  if (problem === undefined) return undefined
  const named = { ...problem, option: problem.option === "" ? "options" : problem.option }
  return new InvalidOption(topic === undefined ? named : { ...named, topic })
}

/** Fails with what refuses what was given. */
export const checked = (...given: Parameters<typeof invalidOption>): Effect.Effect<void, InvalidOption> =>
  Effect.suspend(() => {
    const error = invalidOption(...given)
    return error === undefined ? Effect.void : Effect.fail(error)
  })

/** Throws what refuses what was given, where no effect could fail with it. */
export const assertValid = (...given: Parameters<typeof invalidOption>): void => {
  const error = invalidOption(...given)
  if (error !== undefined) throw error
}
