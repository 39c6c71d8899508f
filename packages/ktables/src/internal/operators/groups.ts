/**
 * Contents whose values are maps: groups of a table's entries. A group is held as a native map, and the immutable one that
 * readers are shown is made when somebody asks for it and kept in step from then on, a change with the next look at it.
 */
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import { inSlices } from "../slice.ts"
import { type Change, Contents } from "../table/contents.ts"
import { isSame } from "./isSame.ts"
import { KeyMap } from "./keyMap.ts"

/** In place of a value that is undefined, in a native map. */
const hole = Symbol("undefined")
const inside = (value: unknown): {} => (value === undefined ? hole : (value as {}))
const outside = <V>(value: {}): V => (value === hole ? undefined : value) as V

class Group<I, K, V> {
  readonly key: I
  readonly slot: number
  readonly #members = new KeyMap<K, {}>()
  /** As of the last look. */
  #map: HashMap.HashMap<K, V> | undefined
  /** While it is made in slices. */
  #making: { map: HashMap.HashMap<K, V>; readonly members: Iterator<readonly [K, {}]> } | undefined
  /** What has changed since the last look, or since the making began. */
  #changed: Array<K> | undefined

  /** Whether the running mutation has written to it. */
  isTouched = false
  /** What it was before that, where somebody wants to know; undefined where it was not there. */
  before: HashMap.HashMap<K, V> | undefined

  constructor(key: I, slot: number) {
    this.key = key
    this.slot = slot
  }

  get isEmpty(): boolean {
    return this.#members.size === 0
  }
  holds(key: K, value: V): boolean {
    return isSame(this.#members.get(key), inside(value))
  }
  /** @param isNew whether it is known to be absent. */
  set(key: K, value: V, isNew: boolean): void {
    if (isNew) this.#members.add(key, inside(value))
    else this.#members.replace(key, inside(value))
    this.#hasChanged(key)
  }
  /** Of a member. */
  delete(key: K): void {
    this.#members.delete(key)
    this.#hasChanged(key)
  }

  #hasChanged(key: K): void {
    if (this.#map === undefined && this.#making === undefined) return
    const changed = (this.#changed ??= [])
    changed.push(key)
    // Making it again costs no more then.
    if (changed.length > this.#members.size + 16 && this.#making === undefined) {
      this.#map = undefined
      this.#changed = undefined
    }
  }

  map(): HashMap.HashMap<K, V> {
    if (this.#map === undefined) while (this.makeSome());
    const changed = this.#changed
    if (changed !== undefined) {
      this.#changed = undefined
      this.#map = HashMap.mutate(this.#map!, (draft) => {
        for (const key of changed) {
          const value = this.#members.get(key)
          if (value === undefined) HashMap.remove(draft, key)
          else HashMap.set(draft, key, outside(value))
        }
      })
    }
    return this.#map!
  }

  /** Makes a part of the map; whether there is more to make. */
  makeSome(): boolean {
    if (this.#map !== undefined) return false
    const making = (this.#making ??= { map: HashMap.empty(), members: this.#members[Symbol.iterator]() })
    let isDone = false
    making.map = HashMap.mutate(making.map, (draft) => {
      for (let n = 0; n < PART; n++) {
        const next = making.members.next()
        if (next.done === true) {
          isDone = true
          return
        }
        HashMap.set(draft, next.value[0], outside(next.value[1]))
      }
    })
    if (isDone) {
      this.#map = making.map
      this.#making = undefined
    }
    return !isDone
  }
}

/** Members that are put into a map with a step of those that the clock is looked at between. */
const PART = 8

const none: HashMap.HashMap<never, never> = HashMap.empty()

export class Groups<I, K, V> extends Contents<I, HashMap.HashMap<K, V>> {
  readonly #groups: Array<Group<I, K, V> | undefined> = []
  /** Those that the running mutation has written to. */
  #touched: Array<Group<I, K, V>> = []
  /** Whether somebody wants to know what the running mutation changes. */
  #isFollowed = false

  override valueAt(slot: number): HashMap.HashMap<K, V> {
    return this.#groups[slot]!.map()
  }

  override get prepareValues(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const slots = this.slots()
      let group: Group<I, K, V> | undefined
      return inSlices(() => {
        if (group !== undefined && group.makeSome()) return true
        group?.map()
        const next = slots.next()
        if (next.done === true) return false
        group = this.#groups[next.value[1]]
        return true
      })
    })
  }

  override mutate(write: () => void, collect: boolean): ReadonlyArray<Change<I, HashMap.HashMap<K, V>>> {
    const changes: Array<Change<I, HashMap.HashMap<K, V>>> = []
    this.#isFollowed = collect || this.hasMap
    super.mutate(() => {
      write()
      this.#settle(changes)
    }, false)
    return changes
  }

  /** @param isNew whether the key is known to be in no such group. */
  put(index: I, key: K, value: V, isNew: boolean): void {
    const slot = this.slotOf(index)
    let group = slot === undefined ? undefined : this.#groups[slot]
    if (group === undefined) {
      const added = this.add(index, none)
      group = this.#groups[added] = new Group(index, added)
    } else if (!isNew && group.holds(key, value)) return
    this.#touch(group)
    group.set(key, value, isNew)
  }

  /** Of a key that is in the group. */
  remove(index: I, key: K): void {
    const group = this.#groups[this.slotOf(index)!]!
    this.#touch(group)
    group.delete(key)
  }

  #touch(group: Group<I, K, V>): void {
    if (group.isTouched) return
    group.isTouched = true
    this.#touched.push(group)
    if (this.#isFollowed && !group.isEmpty) group.before = group.map()
  }

  /** Groups that were emptied go, and of the others readers see the new maps. */
  #settle(changes: Array<Change<I, HashMap.HashMap<K, V>>>): void {
    const touched = this.#touched
    this.#touched = []
    for (const group of touched) {
      const { before, key, slot } = group
      group.isTouched = false
      group.before = undefined
      if (group.isEmpty) {
        this.delete(key)
        this.#groups[slot] = undefined
        if (before !== undefined) changes.push({ _tag: "Deleted", key, previous: before })
      } else if (this.#isFollowed) {
        const value = group.map()
        this.rewrite(slot, key, value)
        changes.push({ _tag: "Set", key, value, previous: Option.fromUndefinedOr(before) })
      } else this.touch()
    }
  }
}
