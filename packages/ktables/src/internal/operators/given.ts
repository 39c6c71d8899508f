/**
 * What operators are given, by plain JavaScript, too: refused by name when it is given. The types of operators have no error
 * for it, so that it is thrown.
 */
import * as Check from "../options.ts"
import type { Cell } from "../table/cell.ts"
import { CellTable } from "../table/cellTable.ts"

const isOurs = (value: unknown): boolean => value instanceof CellTable

/**
 * Whether a call is one without a pipe. In a pipe the operator's function is its argument at `place`, and else the one after
 * that. What is no function and stands for one, or for a table, is given to the operator as what it stands for.
 */
export const isDataFirst =
  (place: number) =>
  (args: IArguments): boolean =>
    typeof args[place] !== "function" && (typeof args[place + 1] === "function" || isOurs(args[place]))

/** As `isDataFirst`, of an operator whose only function may be left out. */
export const isSortedDataFirst = (args: IArguments): boolean => args.length > 0 && typeof args[0] !== "function"

/** As `isDataFirst`, of an operator that is given options alone: a table in their place is no call with a pipe. */
export const isOptionsDataFirst = (args: IArguments): boolean => args.length > 1 || isOurs(args[0])

const expected = "a table that this library made, and no effect that makes one"

/** What is behind a table. */
export const cellOf = <K, V, E>(table: object, option: string): Cell<K, V, E> =>
  CellTable.cellOf(Check.takenOrThrow(Check.satisfies(expected, isOurs), table, option))

export const isFunction = Check.satisfies("a function", Check.isFunction)

export const functionOf = <F>(f: F, option: string): F => Check.takenOrThrow(isFunction, f, option)

export const onError = Check.oneOf("fail", "skip")

const operatorOptions = Check.record({ onError })

/** Options of an operator, where there are any. */
export const optionsOf = <O>(
  options: O | undefined,
  option: string,
  check: Check.Check = operatorOptions
): Partial<O> => (options === undefined ? {} : Check.takenOrThrow(check, options, option))
