/** A collection of TanStack DB: what is sold shows at once, and is taken back where it could not be written. */
import * as RemoteTable from "@effect-ktables/http/RemoteTable"
import * as TanStackDb from "@effect-ktables/http/TanStackDb"
import { createCollection } from "@tanstack/db"
import * as Effect from "effect/Effect"
import { showLines, showStatus } from "./show.ts"
import { type Stock, stock } from "./stock.ts"

const program = Effect.gen(function* () {
  const table = yield* RemoteTable.make(location.origin, stock)
  const articles = createCollection<TanStackDb.Row<string, Stock>, string>(TanStackDb.options(table))

  const sell = (article: string): void => {
    const sold = articles.update(article, (row) => {
      row.value = { left: row.value.left - 1 }
    })
    showStatus(`${article}: selling`)
    sold.isPersisted.promise.then(
      () => showStatus(`${article}: sold`),
      (error: Error) => showStatus(`${article}: not sold, ${error.message}`)
    )
  }
  const show = (): void =>
    showLines(
      articles.toArray
        .toSorted((a, b) => (a.key < b.key ? -1 : 1))
        .map(({ key, value }) => ({ text: `${key}: ${value.left}`, onClick: () => sell(key) }))
    )
  articles.subscribeChanges(show, { includeInitialState: true })
  yield* Effect.never
})

Effect.runFork(Effect.scoped(program))
