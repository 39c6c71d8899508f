/** Arrays by slot, which grow as slots come. */

/** At least twice as long, and as long as `least`. */
export const grown = <A extends Float64Array | Int32Array>(array: A, least: number): A => {
  const next = new (array.constructor as new (length: number) => A)(Math.max(2 * array.length, least))
  next.set(array)
  return next
}

/** Without a hole before it: an array with holes is slow. */
export const setAt = <A>(array: Array<A | undefined>, slot: number, value: A | undefined): void => {
  while (array.length <= slot) array.push(undefined)
  array[slot] = value
}
