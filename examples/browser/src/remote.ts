/** A live copy of a table: read, derived from and followed as any other. */
import * as RemoteTable from "@effect-ktables/http/RemoteTable"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Table from "effect-ktables/Table"
import { showLines, showStatus } from "./show.ts"
import { stock } from "./stock.ts"

const program = Effect.gen(function* () {
  const table = yield* RemoteTable.make(location.origin, stock)
  const low = yield* Table.filter(table, ({ left }) => left < 5)

  yield* Stream.runForEach(table.healthChanges, ({ connected }) =>
    Effect.sync(() => showStatus(connected ? "live" : "may be behind"))
  ).pipe(Effect.forkScoped)

  yield* Stream.runForEach(table.states, (entries) =>
    Effect.sync(() =>
      showLines(
        Array.from(entries, ([article, { left }]) => ({
          text: `${article}: ${left}${low.view.has(article) ? ", order more" : ""}`
        })).toSorted((a, b) => (a.text < b.text ? -1 : 1))
      )
    )
  )
})

Effect.runFork(Effect.scoped(program))
