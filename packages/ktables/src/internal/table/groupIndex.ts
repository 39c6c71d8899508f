/**
 * Finds what belongs to a key of a group and a member: by the group first, and then among its members. So whoever asks for a
 * group finds it, and nothing more has to be kept for that.
 */
import type { GroupKey } from "../../Codec.ts"
import type { Contents, SlotIndex } from "./contents.ts"
import { KeyIndex } from "./keyIndex.ts"
import { KeyMap } from "./keyMap.ts"
import { look } from "./keyText.ts"

export class GroupIndex<G, M> implements SlotIndex<GroupKey<G, M>> {
  /** None of them is empty. */
  readonly #groups = new KeyIndex<G, KeyMap<M, number>>()
  #size = 0

  /** Of contents that were made with such an index. */
  static of<G, M, V>(contents: Contents<GroupKey<G, M>, V>): GroupIndex<G, M> {
    return contents.index as GroupIndex<G, M>
  }

  // ---------------------------------------------------------------------------------------------- keys

  get({ group, member }: GroupKey<G, M>): number | undefined {
    look(member)
    return this.#groups.get(group)?.get(member)
  }

  keyOf(key: GroupKey<G, M>): GroupKey<G, M> {
    return key
  }

  set({ group, member }: GroupKey<G, M>, slot: number): void {
    look(member)
    let members = this.#groups.get(group)
    if (members === undefined) {
      members = new KeyMap()
      this.#groups.set(group, members)
      this.#size++
    } else if (members.get(member) !== undefined) return members.replace(member, slot)
    members.add(member, slot)
  }

  delete({ group, member }: GroupKey<G, M>): void {
    const members = this.#groups.get(group)
    if (members?.get(member) === undefined) return
    members.delete(member)
    if (members.size > 0) return
    this.#groups.delete(group)
    this.#size--
  }

  *[Symbol.iterator](): Iterator<readonly [GroupKey<G, M>, number]> {
    for (const [group, members] of this.#groups) {
      for (const [member, slot] of members) yield [{ group, member }, slot]
    }
  }

  // ---------------------------------------------------------------------------------------------- groups

  /** How many groups there are. */
  get size(): number {
    return this.#size
  }
  groups(): Array<G> {
    return Array.from(this.#groups, ([group]) => group)
  }
  /** The members of a group and the slots of their entries; undefined where there is no such group. */
  membersOf(group: G): KeyMap<M, number> | undefined {
    return this.#groups.get(group)
  }
}
