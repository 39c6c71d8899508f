/** Atoms of Effect: a component reads the value of a key, and is drawn again when that changes. */
import * as RemoteTable from "@effect-ktables/http/RemoteTable"
import * as TableAtom from "@effect-ktables/http/TableAtom"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Atom from "effect/reactivity/Atom"
import * as AtomRegistry from "effect/reactivity/AtomRegistry"
import { showLines, showStatus } from "./show.ts"
import { stock } from "./stock.ts"

const program = Effect.gen(function* () {
  const table = yield* RemoteTable.make(location.origin, stock)
  const registry = AtomRegistry.make()
  const articleOf = TableAtom.values(table)

  const label = (article: string) =>
    Atom.make((get) =>
      Option.match(get(articleOf(article)), {
        onNone: () => `${article}: none`,
        onSome: ({ left }) => `${article}: ${left}`
      })
    )
  const labels = Atom.make((get) => [label("apple"), label("pear")].map((one) => ({ text: get(one) })))

  registry.subscribe(labels, showLines, { immediate: true })
  registry.subscribe(TableAtom.status(table), ({ _tag }) => showStatus(_tag), { immediate: true })
  yield* Effect.never
})

Effect.runFork(Effect.scoped(program))
