/**
 * Contents whose values are maps: groups of a table's entries. A group is held as a list of its members, and the immutable map
 * that readers are shown is made when somebody asks for it and kept in step from then on, a change with the next look at it.
 */
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import { inSlices } from "../slice.ts"
import { type Change, Contents, type Written } from "../table/contents.ts"
import { isSame } from "./isSame.ts"

/** An entry of the table in one of its groups. Whoever puts it there keeps it, so that it need not be looked for. */
export class Member<I, K, V> {
  readonly group: Group<I, K, V>
  readonly key: K
  value: V
  /** Its place among the members of the group; -1 once it has left. */
  at: number

  constructor(group: Group<I, K, V>, key: K, value: V, at: number) {
    this.group = group
    this.key = key
    this.value = value
    this.at = at
  }
}

class Group<I, K, V> {
  readonly key: I
  readonly slot: number
  readonly #members: Array<Member<I, K, V>> = []
  /** As of the last look. */
  #map: HashMap.HashMap<K, V> | undefined
  /** While it is made in slices: of the members from `from` on. */
  #making: { map: HashMap.HashMap<K, V>; from: number } | undefined
  /** What has changed since the last look, or since the making began, in order. */
  #changed: Array<Member<I, K, V>> | undefined

  /** Whether the running mutation has written to it. */
  isTouched = false
  /** What it was before that, where somebody wants to know; undefined where it was not there. */
  before: HashMap.HashMap<K, V> | undefined

  constructor(key: I, slot: number) {
    this.key = key
    this.slot = slot
  }

  get isEmpty(): boolean {
    return this.#members.length === 0
  }
  /** Whether its map is made, or on its way. */
  get isRead(): boolean {
    return this.#map !== undefined || this.#making !== undefined
  }
  /** Of a key that is not in it. */
  add(key: K, value: V): Member<I, K, V> {
    const member = new Member<I, K, V>(this, key, value, this.#members.length)
    this.#members.push(member)
    this.#hasChanged(member)
    return member
  }
  replace(member: Member<I, K, V>, value: V): void {
    member.value = value
    this.#hasChanged(member)
  }
  delete(member: Member<I, K, V>): void {
    const last = this.#members.pop()!
    if (last !== member) {
      this.#members[member.at] = last
      last.at = member.at
    }
    member.at = -1
    this.#hasChanged(member)
  }

  #hasChanged(member: Member<I, K, V>): void {
    if (!this.isRead) return
    const changed = (this.#changed ??= [])
    changed.push(member)
    // Making it again costs no more then; nor is it known that whoever began to make it goes on.
    if (changed.length > this.#members.length + 16) {
      this.#map = undefined
      this.#making = undefined
      this.#changed = undefined
    }
  }

  map(): HashMap.HashMap<K, V> {
    if (this.#map === undefined) while (this.makeSome());
    const changed = this.#changed
    if (changed !== undefined) {
      this.#changed = undefined
      this.#map = HashMap.mutate(this.#map!, (draft) => {
        // A key that has left and come again is another member, further on.
        for (const { at, key, value } of changed) {
          if (at < 0) HashMap.remove(draft, key)
          else HashMap.set(draft, key, value)
        }
      })
    }
    return this.#map!
  }

  /** Makes a part of the map; whether there is more to make. */
  makeSome(): boolean {
    if (this.#map !== undefined) return false
    const members = this.#members
    const making = (this.#making ??= { map: HashMap.empty(), from: members.length })
    // From the last on: one that takes the place of a member that has left is met again, and none is passed over.
    const from = Math.min(making.from, members.length)
    const to = Math.max(0, from - PART)
    making.map = HashMap.mutate(making.map, (draft) => {
      for (let at = from - 1; at >= to; at--) HashMap.set(draft, members[at]!.key, members[at]!.value)
    })
    making.from = to
    if (to > 0) return true
    this.#map = making.map
    this.#making = undefined
    return false
  }
}

/** Members that are put into a map with a step of those that the clock is looked at between. */
const PART = 8

const none: HashMap.HashMap<never, never> = HashMap.empty()

/** As `Written`, while it is made. */
interface Noted<I, K, V> {
  readonly changes: Array<Change<I, HashMap.HashMap<K, V>>>
  readonly slots: Array<number>
}

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

  override mutate(write: () => void, collect: boolean): Written<I, HashMap.HashMap<K, V>> {
    const written: Noted<I, K, V> = { changes: [], slots: [] }
    this.#isFollowed = collect || this.hasMap
    super.mutate(() => {
      write()
      this.#settle(written)
    }, false)
    return written
  }

  /** Of a key that is not in the group. */
  enter(index: I, key: K, value: V): Member<I, K, V> {
    const slot = this.slotOf(index)
    let group = slot === undefined ? undefined : this.#groups[slot]
    if (group === undefined) {
      const added = this.add(index, none)
      group = this.#groups[added] = new Group(index, added)
    }
    this.#touch(group)
    return group.add(key, value)
  }

  /** The member has this value from here on. */
  assign(member: Member<I, K, V>, value: V): void {
    // To compare costs more than to write, and where nobody looks nobody would be spared anything.
    if ((this.#isFollowed || member.group.isRead) && isSame(member.value, value)) return
    this.#touch(member.group)
    member.group.replace(member, value)
  }

  leave(member: Member<I, K, V>): void {
    this.#touch(member.group)
    member.group.delete(member)
  }

  #touch(group: Group<I, K, V>): void {
    if (group.isTouched) return
    group.isTouched = true
    this.#touched.push(group)
    if (this.#isFollowed && !group.isEmpty) group.before = group.map()
  }

  /** Groups that were emptied go, and of the others readers see the new maps. */
  #settle({ changes, slots }: Noted<I, K, V>): void {
    const touched = this.#touched
    this.#touched = []
    for (const group of touched) {
      const { before, key, slot } = group
      group.isTouched = false
      group.before = undefined
      if (group.isEmpty) {
        this.delete(key)
        this.#groups[slot] = undefined
        if (before === undefined) continue
        changes.push({ _tag: "Deleted", key, previous: before })
        slots.push(slot)
      } else if (this.#isFollowed) {
        const value = group.map()
        this.show(key, value)
        changes.push({ _tag: "Set", key, value, previous: Option.fromUndefinedOr(before) })
        slots.push(slot)
      } else this.touch()
    }
  }
}
