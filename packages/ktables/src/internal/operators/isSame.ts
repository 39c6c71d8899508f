/** Whether two values of a derived table are the same to those who follow it. */

/** No deeper: what leads back to itself ends here. */
const DEEPEST = 32

/** Their data may be anything that an object hides. */
const isPlain = (prototype: unknown): boolean => prototype === Object.prototype || prototype === null

const isSameAt = (a: unknown, b: unknown, depth: number): boolean => {
  if (Object.is(a, b)) return true
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null || depth > DEEPEST) return false
  const prototype: unknown = Object.getPrototypeOf(a)
  if (prototype !== Object.getPrototypeOf(b)) return false
  if (prototype === Array.prototype) {
    const [as, bs] = [a as ReadonlyArray<unknown>, b as ReadonlyArray<unknown>]
    return as.length === bs.length && as.every((one, i) => isSameAt(one, bs[i], depth + 1))
  }
  if (!isPlain(prototype)) return false
  type Fields = Readonly<Record<PropertyKey, unknown>>
  // Most of what is compared differs, and shows it here, where nothing is allocated.
  for (const key in a) if (!isSameAt((a as Fields)[key], (b as Fields)[key], depth + 1)) return false
  const keys = Reflect.ownKeys(a)
  if (keys.length !== Reflect.ownKeys(b).length) return false
  for (const key of keys) {
    if (!Object.hasOwn(b, key)) return false
    if (!isSameAt((a as Fields)[key], (b as Fields)[key], depth + 1)) return false
  }
  return true
}

/**
 * Plain data is compared by what it holds; whatever else there is, by being the very same. What throws when it is looked at
 * is not the same as anything.
 */
export const isSame = (a: unknown, b: unknown): boolean => {
  try {
    return isSameAt(a, b, 0)
  } catch {
    return false
  }
}
