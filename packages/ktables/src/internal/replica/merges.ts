/**
 * Finds different raw keys that are one key of the table: instances of a class compare equal though their private state
 * differs, and a class may say of itself what it likes. Spellings of one key (`1` and `01`) are none: they encode alike.
 */
import { Effect, Exit } from "effect"
import type { Contents } from "../table/contents.ts"
import { KeyIndex } from "../table/keyIndex.ts"
import { isTransparent } from "./sameness.ts"
import { inSlices } from "../slice.ts"
import type { Survivors } from "../records/survivors.ts"
import { type Decoding, printedKey } from "./decoding.ts"
import { SurvivorSource } from "./source.ts"

/** Keys that are looked at for state that `Equal` does not see. */
const SAMPLE = 64

/** Whether keys may hold more than `Equal` compares. */
export const isOpaque = <K>(contents: Contents<K, unknown>): boolean => {
  let n = 0
  for (const [key] of contents) {
    try {
      if (!isTransparent(key)) return true
    } catch {
      return true
    }
    if (++n === SAMPLE) break
  }
  return false
}

const isSameBytes = (a: SurvivorSource, b: SurvivorSource): boolean =>
  a.keyBuffer.compare(b.keyBuffer, b.keyStart, b.keyStart + b.keyLength, a.keyStart, a.keyStart + a.keyLength) === 0

/** The first two raw keys of one key, in words. */
export const findMerge = Effect.fnUntraced(function* <K, V>(
  all: ReadonlyArray<Survivors>,
  { decodeKey, used }: Decoding<K, V>,
  same: (a: K, b: K) => boolean
): Effect.fn.Return<string | undefined> {
  const seen = new KeyIndex<K, { readonly key: K; readonly source: SurvivorSource }>()
  let merge: string | undefined
  const compare = (key: K, source: SurvivorSource): void => {
    try {
      const other = seen.get(key)
      if (other === undefined) seen.set(key, { key, source })
      else if (!isSameBytes(source, other.source) && !same(key, other.key)) {
        merge = `${printedKey(other.source)} and ${printedKey(source)}`
      }
    } catch {
      // It cannot be compared, and was refused.
    }
  }
  const sources = sourcesOf(all)
  yield* inSlices(() => {
    const next = merge === undefined ? sources.next() : undefined
    if (next === undefined || next.done === true) return false
    const source = next.value
    return used(decodeKey, source, (decoded) => {
      if (Exit.isSuccess(decoded)) compare(decoded.value, source)
    })
  })
  return merge
})

function* sourcesOf(all: ReadonlyArray<Survivors>): Generator<SurvivorSource> {
  for (const survivors of all) {
    for (let entry = 0; entry < survivors.size; entry++) {
      const source = new SurvivorSource(survivors)
      source.moveTo(entry)
      yield source
    }
  }
}
