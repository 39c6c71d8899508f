/**
 * Takes options as plain JavaScript may give them, so that a wrong name, number or string is refused when it is given, and
 * by name. A check takes one value or says what is wrong with it; `record` makes the check of a whole options object.
 *
 * What was taken is a copy, in which nothing is read a second time: a getter could answer something else then, and who
 * gave the options may change them later.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { InvalidOption } from "../TableError.ts"

/** What is wrong: at which place among the options, what stands there, and what may. */
export interface Problem {
  readonly option: string
  readonly given: string
  readonly expected: string
}

/** What may stand at a place, or what is wrong with it. */
type Taken = Result.Result<unknown, Problem>

/** Takes `value`, which stands at the place `option`. What is left out is never asked about, unless by `required`. */
export type Check = (value: unknown, option: string) => Taken

const LONGEST_GIVEN = 80

/** How a value is named to whoever gave it. Of objects nothing is shown, since they may hold secrets. */
export const shown = (value: unknown): string => {
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

const unreadable = (option: string): Taken =>
  Result.fail({ option, given: UNREADABLE, expected: "a value that can be read" })

/** What a look at `option` brings; one that throws has found a problem. */
const lookedAt = (option: string, look: () => Taken): Taken => {
  try {
    return look()
  } catch {
    return unreadable(option)
  }
}

/** A check by a predicate. */
export const satisfies =
  (expected: string, holds: (value: unknown) => boolean): Check =>
  (value, option) =>
    holds(value) ? Result.succeed(value) : Result.fail({ option, given: shown(value), expected })

/** As `satisfies`, of a value that may not be shown: only its type is. */
export const secret =
  (expected: string, holds: (value: unknown) => boolean): Check =>
  (value, option) =>
    holds(value) ? Result.succeed(value) : Result.fail({ option, given: typeof value, expected })

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

/** The duration that is meant; undefined for what is none. (`Duration` itself reads NaN and unknown fields as 0.) */
const durationOf = (value: unknown): Duration.Duration | undefined => {
  let input = value
  if (typeof value === "number" && Number.isNaN(value)) return undefined
  if (Array.isArray(value)) {
    input = [...value]
    if ((input as Array<unknown>).some(Number.isNaN)) return undefined
  } else if (typeof value === "object" && value !== null && !Duration.isDuration(value)) {
    const fields = Object.entries(value)
    if (fields.length === 0) return undefined
    for (const [name, part] of fields) if (!durationFields.has(name) || !Number.isFinite(part)) return undefined
    input = Object.fromEntries(fields)
  }
  return Option.getOrUndefined(Duration.fromInput(input as Duration.Input))
}

/** A duration of `min` milliseconds at least, and of `max` at most: by default what a timer can wait. */
export const duration = ({ max = MAX_INT32, min }: { readonly min: number; readonly max?: number }): Check => {
  const most = max === MAX_INT32 ? `${MAX_INT32} ms (24 days)` : `${max} ms`
  const expected = `a duration from ${min} to ${most}, for example "5 seconds"`
  return (value, option) => {
    const taken = durationOf(value)
    const millis = taken === undefined ? NaN : Duration.toMillis(taken)
    return millis >= min && millis <= max
      ? Result.succeed(taken)
      : Result.fail({ option, given: shown(value), expected })
  }
}

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
      const taken = check(value, option)
      // A problem elsewhere: the value is an object that was meant for this check, and one of its own options is wrong.
      if (Result.isSuccess(taken) || taken.failure.option !== option) return taken
      problems.push(taken.failure)
    }
    const expected = problems.map(({ expected }) => expected).join(", or ")
    return Result.fail({ option, given: shown(value), expected })
  }

/** A check that also refuses what is left out. */
export const required = (check: Check): Check =>
  Object.assign((...at: Parameters<Check>) => check(...at), { required: true })

const isRequired = (check: Check): boolean => "required" in check

/** An object of options, of a class or none: a `Map` or a `Date` has no names that could be wrong, and would be none. */
const isOptions = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && (kindOf(value) === "Object" || Object.getPrototypeOf(value) === null)

const at = (option: string, name: string): string => (option === "" ? name : `${option}.${name}`)

const noOptions = (value: unknown, option: string): Taken =>
  Result.fail({ option, given: shown(value), expected: "an object of options" })

/** The checks of an object, by name: the type asks for one of every name, so that a new one cannot be forgotten. */
type ChecksOf<A> = { readonly [Name in keyof Required<A>]: Check }

/** The check of an object's values under some names, which are taken; under others there may be anything. */
export const fields = <A>(checks: ChecksOf<A>): Check => {
  const entries = Object.entries<Check>(checks)
  return (value, option) => {
    if (!isOptions(value)) return noOptions(value, option)
    const all: Record<string, unknown> = {}
    // An acknowledgement passes here for each wait: one `try` for all its fields.
    let place = option
    try {
      for (const [name, check] of entries) {
        place = at(option, name)
        const given = value[name]
        if (given === undefined && !isRequired(check)) continue
        const taken = check(given, place)
        if (Result.isFailure(taken)) return taken
        if (taken.success !== undefined) all[name] = taken.success
      }
    } catch {
      return unreadable(place)
    }
    return Result.succeed(all)
  }
}

/** The check of an object of options: every name in it is known, and every value that is given passes its check. */
export const record = <Options>(checks: ChecksOf<Options>): Check => {
  const names = Object.keys(checks)
  const expected = names.length === 0 ? "no option here" : `no such option, but one of ${names.join(", ")}`
  const known: Check = (value, option) => {
    if (!isOptions(value)) return noOptions(value, option)
    const unknown = Object.keys(value).find((name) => !Object.hasOwn(checks, name))
    if (unknown === undefined) return Result.succeed(value)
    const place = at(option, unknown)
    return lookedAt(place, () => Result.fail({ option: place, given: shown(value[unknown]), expected }))
  }
  return every(known, fields(checks))
}

/** The check of a union of options objects that `tag` tells apart. */
export const tagged = (tag: string, cases: Readonly<Record<string, Check>>): Check => {
  const which = fields({ [tag]: required(oneOf(...Object.keys(cases))) })
  // The case takes the tag again, and no other than its own.
  return (value, option) =>
    Result.flatMap(which(value, option), (taken) =>
      cases[(taken as Readonly<Record<string, string>>)[tag]!]!(value, option)
    )
}

/** An array of values that each pass a check, which is copied. */
export const list =
  (check: Check): Check =>
  (value, option) => {
    if (!Array.isArray(value)) return Result.fail({ option, given: shown(value), expected: "an array" })
    const all: Array<unknown> = []
    for (let i = 0; i < value.length; i++) {
      const place = `${option}[${i}]`
      const taken = lookedAt(place, () => check(value[i], place))
      if (Result.isFailure(taken)) return taken
      all.push(taken.success)
    }
    return Result.succeed(all)
  }

/** A check of several, in their order: each is given what the one before it took. */
export const every =
  (...checks: ReadonlyArray<Check>): Check =>
  (value, option) =>
    checks.reduce<Taken>(
      (taken, check) => Result.flatMap(taken, (value) => check(value, option)),
      Result.succeed(value)
    )

/** As `check`, of a copy of what `copy` makes one of. */
export const copied =
  (copy: (value: unknown) => unknown, check: Check): Check =>
  (value, option) =>
    check(copy(value), option)

/** A copy of an array, and anything else as it is. */
export const copyOfArray = (value: unknown): unknown => (Array.isArray(value) ? [...value] : value)

/** Settings of a topic or broker by their names: strings, as Kafka has them. */
export const settings: Check = copied(
  (value) => (isOptions(value) ? { ...value } : value),
  satisfies(
    "an object of settings, each a string",
    (value) => isOptions(value) && Object.values(value).every((setting) => typeof setting === "string")
  )
)

/**
 * What a check takes of what was given, or the error that refuses it. What it is, when not `options`, is `option`. A check
 * takes what has the type, and nothing else.
 */
const take = <A>(check: Check, given: A, topic?: string, option = ""): Result.Result<A, InvalidOption> => {
  const taken = lookedAt(option, () => check(given, option))
  return Result.mapBoth(taken, {
    onSuccess: (value) => value as A,
    onFailure: (problem) => {
      const named = { ...problem, option: problem.option === "" ? "options" : problem.option }
      return new InvalidOption(topic === undefined ? named : { ...named, topic })
    }
  })
}

/** What was given, as a copy that was taken; fails with what refuses it. */
export const taken = <A>(check: Check, given: A, topic?: string, option?: string): Effect.Effect<A, InvalidOption> =>
  Effect.suspend(() => Effect.fromResult(take(check, given, topic, option)))

/** As `taken`, where no effect could fail: throws what refuses it. */
export const takenOrThrow = <A>(check: Check, given: A, option?: string, table?: string): A =>
  Result.getOrThrow(take(check, given, table, option))
