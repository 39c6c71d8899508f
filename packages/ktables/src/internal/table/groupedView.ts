/** A table whose keys are members of groups as a standard map, with reads by group. */
import type { GroupKey } from "../../Codec.ts"
import type { Contents } from "./contents.ts"
import { GroupIndex } from "./groupIndex.ts"
import { TableView } from "./view.ts"

export class GroupedTableView<G, M, V> extends TableView<GroupKey<G, M>, V> {
  readonly #cell: { readonly contents: Contents<GroupKey<G, M>, V> }

  constructor(cell: { readonly contents: Contents<GroupKey<G, M>, V> }) {
    super(cell)
    this.#cell = cell
  }

  groups(): ReadonlyArray<G> {
    return this.#index.groups()
  }
  hasGroup(group: G): boolean {
    return this.#index.membersOf(group) !== undefined
  }
  memberCount(group: G): number {
    return this.#index.membersOf(group)?.size ?? 0
  }
  members(group: G): ReadonlyArray<readonly [M, V]> {
    const { contents } = this.#cell
    const members = this.#index.membersOf(group)
    return members === undefined
      ? []
      : Array.from(members, ([member, slot]) => [member, contents.valueAt(slot)] as const)
  }

  /** Another one once the contents are replaced. */
  get #index(): GroupIndex<G, M> {
    return GroupIndex.of(this.#cell.contents)
  }
}
