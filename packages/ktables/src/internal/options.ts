/**
 * Checks of options when they are given. Types keep most mistakes out of TypeScript; plain JavaScript, settings from the
 * environment and arithmetic (NaN) bring them in, and then an option is refused by its name instead of hanging, spinning or
 * being passed over.
 */
import { Duration, Effect, Option } from "effect"
import { InvalidOption } from "../TableError.ts"

/** The longest time a timer takes; Node fires longer ones at once. */
export const LONGEST_TIMER = 2 ** 31 - 1

/** Kept short: a value may be anything. */
const shown = (value: unknown): string => {
  if (typeof value === "string") return JSON.stringify(value.length > 100 ? `${value.slice(0, 100)}...` : value)
  if (typeof value === "function") return "a function"
  if (typeof value !== "object" || value === null) return String(value)
  if (Duration.isDuration(value)) return Duration.format(value)
  return Array.isArray(value) ? "an array" : "an object"
}

/** The refusal of a value, for checks that the functions below do not make. */
export const invalidOption = (option: string, value: unknown, expected: string): InvalidOption =>
  new InvalidOption({ option, value: shown(value), expected })

export interface Bounds {
  /** The least value that is allowed. */
  readonly min: number
  /** The greatest one. Default: what a timer takes for durations, 2^53 - 1 for numbers. */
  readonly max?: number | undefined
}

const within = (value: number, min: number, max: number): boolean => value >= min && value <= max

/** A duration in milliseconds. NaN, negative and endless ones are refused whatever the bounds are. */
export const durationOption = (
  option: string,
  input: Duration.Input,
  bounds: Bounds
): Effect.Effect<number, InvalidOption> =>
  Effect.suspend(() => {
    const { max = LONGEST_TIMER, min } = bounds
    const millis = Number.isNaN(input)
      ? Number.NaN
      : Option.match(Duration.fromInput(input), { onNone: () => Number.NaN, onSome: Duration.toMillis })
    return within(millis, min, max)
      ? Effect.succeed(millis)
      : Effect.fail(invalidOption(option, input, `a duration from ${min} to ${max} ms`))
  })

/** A whole number. */
export const integerOption = (option: string, input: number, bounds: Bounds): Effect.Effect<number, InvalidOption> => {
  const { max = Number.MAX_SAFE_INTEGER, min } = bounds
  if (Number.isSafeInteger(input) && within(input, min, max)) return Effect.succeed(input)
  const range = bounds.max === undefined ? `of at least ${min}` : `from ${min} to ${max}`
  return Effect.fail(invalidOption(option, input, `a whole number ${range}`))
}

/** One of some values. */
export const oneOf = <const A extends string | boolean>(
  option: string,
  input: A,
  allowed: ReadonlyArray<A>
): Effect.Effect<A, InvalidOption> =>
  allowed.includes(input)
    ? Effect.succeed(input)
    : Effect.fail(invalidOption(option, input, allowed.map((one) => JSON.stringify(one)).join(", ")))

/** Refuses names that are no options, such as misspelt ones; `names` lists the options. */
export const knownOptions = <Options extends object>(
  what: string,
  options: Options,
  names: { readonly [Name in keyof Required<Options>]: true }
): Effect.Effect<void, InvalidOption> => {
  for (const name of Object.keys(options)) {
    if (!Object.hasOwn(names, name)) {
      const value = (options as Record<string, unknown>)[name]
      return Effect.fail(invalidOption(name, value, `an option of ${what}: ${Object.keys(names).join(", ")}`))
    }
  }
  return Effect.void
}
