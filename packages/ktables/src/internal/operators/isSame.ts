/** Whether two values of a derived table are the same to those who follow it. */
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import type { Same } from "../table/difference.ts"

/** No deeper: what leads back to itself ends here. */
const DEEPEST = 32

/** Their data may be anything that an object hides. */
const isPlain = (prototype: unknown): boolean => prototype === Object.prototype || prototype === null

/** @param isWhole whether it looks into maps, which may be large. */
const isSameAt = (a: unknown, b: unknown, depth: number, isWhole: boolean): boolean => {
  if (Object.is(a, b)) return true
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null || depth > DEEPEST) return false
  const prototype: unknown = Object.getPrototypeOf(a)
  if (prototype !== Object.getPrototypeOf(b)) return false
  if (prototype === Array.prototype) {
    const [as, bs] = [a as ReadonlyArray<unknown>, b as ReadonlyArray<unknown>]
    // Not by `every`, which passes over holes.
    return as.length === bs.length && as.findIndex((one, i) => !isSameAt(one, bs[i], depth + 1, isWhole)) < 0
  }
  if (isWhole && HashMap.isHashMap(a)) return isSameMap(a, b as HashMap.HashMap<unknown, unknown>, depth)
  if (prototype === Uint8Array.prototype) {
    const [as, bs] = [a as Uint8Array, b as Uint8Array]
    return as.length === bs.length && as.every((byte, i) => byte === bs[i])
  }
  if (!isPlain(prototype)) return false
  type Fields = Readonly<Record<PropertyKey, unknown>>
  // Most of what is compared differs, and shows it here, where nothing is allocated.
  for (const key in a) if (!isSameAt((a as Fields)[key], (b as Fields)[key], depth + 1, isWhole)) return false
  const keys = Reflect.ownKeys(a)
  if (keys.length !== Reflect.ownKeys(b).length) return false
  for (const key of keys) {
    if (!Object.hasOwn(b, key)) return false
    // Twice here would be four times for what lies within it, and so on.
    if (isCompared(a, key)) continue
    if (!isSameAt((a as Fields)[key], (b as Fields)[key], depth + 1, isWhole)) return false
  }
  return true
}

/** Whether a loop over fields comes to it. */
const isCompared = (it: object, field: PropertyKey): boolean =>
  typeof field === "string" && Object.prototype.propertyIsEnumerable.call(it, field)

const isSameMap = <K>(a: HashMap.HashMap<K, unknown>, b: HashMap.HashMap<K, unknown>, depth: number): boolean => {
  if (HashMap.size(a) !== HashMap.size(b)) return false
  for (const [key, value] of a) {
    const other = HashMap.get(b, key)
    if (Option.isNone(other) || !isSameAt(value, other.value, depth + 1, true)) return false
  }
  return true
}

const guarded =
  (isWhole: boolean) =>
  (a: unknown, b: unknown): boolean => {
    try {
      return isSameAt(a, b, 0, isWhole)
    } catch {
      return false
    }
  }

/**
 * Within a commit, whose cost is to be that of what it changes. Plain data and bytes are compared by what they hold;
 * whatever else there is, by being the very same. What throws when it is looked at is not the same as anything.
 */
export const isSame = guarded(false)

const isSameInside = guarded(true)

const hasSame = <K>(map: HashMap.HashMap<K, unknown>, key: K, value: unknown): boolean => {
  try {
    return Option.exists(HashMap.get(map, key), (other) => isSameAt(value, other, 1, true))
  } catch {
    return false
  }
}

/** Of two maps, an entry with each step. */
function* isSameMapInSteps<K>(
  a: HashMap.HashMap<K, unknown>,
  b: HashMap.HashMap<K, unknown>
): Generator<void, boolean> {
  if (HashMap.size(a) !== HashMap.size(b)) return false
  for (const [key, value] of a) {
    if (!hasSame(b, key, value)) return false
    yield
  }
  return true
}

/** When a table is replaced, and each of its entries is compared anyway. As `isSame`, but maps are plain data, too. */
export const isSameWhole: Same<unknown> = Object.assign((a: unknown, b: unknown) => isSameInside(a, b), {
  inSteps: (a: unknown, b: unknown) =>
    HashMap.isHashMap(a) && HashMap.isHashMap(b) ? isSameMapInSteps(a, b) : undefined
})
