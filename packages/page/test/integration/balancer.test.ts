/** Guarantee 13 for the page: two servers at different positions behind one address, in a real browser. */
import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import type { Page } from "playwright-core"
import { chance } from "../../../ktables/test/support/chance.ts"
import { balanced, contentsOf, type Log } from "../support/balanced.ts"
import { Chromium, open } from "../support/chromium.ts"

type State = ReadonlyArray<readonly [key: string, value: number]>

/** Looks at the list after every frame, and keeps each of its states. */
const watch = (page: Page): Promise<void> =>
  page.evaluate(() => {
    const states: Array<State> = []
    Object.assign(globalThis, { states })
    const { port1, port2 } = new MessageChannel()
    let last = ""
    port1.addEventListener("message", () => {
      const rows = [...document.querySelectorAll(".row:not(.deleted)")].map(
        (row) => [row.querySelector(".key")!.textContent, Number(row.querySelector(".value")!.textContent)] as const
      )
      const text = JSON.stringify(rows)
      if (text !== last) states.push(rows)
      last = text
    })
    port1.start()
    const frame = () => {
      port2.postMessage(undefined)
      requestAnimationFrame(frame)
    }
    frame()
  })

const statesOf = (page: Page): Effect.Effect<ReadonlyArray<State>> =>
  Effect.promise(() => page.evaluate(() => (globalThis as unknown as { readonly states: ReadonlyArray<State> }).states))

/** Waits until the page shows a value of the key that says how far it is. */
const shows = (page: Page, at: number): Effect.Effect<void> =>
  Effect.promise(() =>
    page
      .locator(".row:not(.deleted)")
      .filter({ has: page.getByText("at", { exact: true }) })
      .filter({ has: page.getByText(String(at), { exact: true }) })
      .waitFor()
  )

const seeds = Array.from({ length: Number(process.env["CASES"] ?? 2) }, (_, i) => i + 1)

describe("the page of two servers behind one address", () => {
  layer(Chromium.layer, { excludeTestServices: true, timeout: 120_000 })((it) => {
    it.effect("does not go back to a server that has less, and goes on once that has come as far", () =>
      Effect.gen(function* () {
        const log: Log = { id: "a".repeat(32), records: [1, 2, 3, 4, 5].map((n) => ["at", n] as const) }
        const { choose, cut, servers, url } = yield* balanced(log)
        servers[0].advance(5)
        servers[1].advance(2)
        const { complaints, page } = yield* open(yield* Chromium, url)
        yield* shows(page, 5)
        yield* Effect.promise(() => watch(page))
        choose(1)
        cut()
        const alert = page.getByRole("alert")
        yield* Effect.promise(() => alert.filter({ hasText: "has not come as far" }).waitFor())
        yield* shows(page, 5)
        log.records.push(["at", 6])
        servers[1].advance(4)
        yield* shows(page, 6)
        yield* Effect.promise(() => alert.waitFor({ state: "detached" }))
        assert.deepStrictEqual(yield* statesOf(page), [[["at", 5]], [["at", 6]]])
        assert.deepStrictEqual(complaints, [])
      }).pipe(Effect.scoped)
    )

    for (const seed of seeds) {
      it.effect(`shows states that the log had, in its order, under cuts, and ends equal (seed ${seed})`, () =>
        Effect.gen(function* () {
          const { below: random } = chance(seed)
          const log: Log = { id: "a".repeat(32), records: [] }
          const { choose, cut, servers, url } = yield* balanced(log)
          /** A commit ends with the key that says how far it is. */
          const write = () => {
            for (let i = random(4); i > 0; i--) {
              log.records.push([`k${random(12)}`, random(4) === 0 ? undefined : random(1000)])
            }
            log.records.push(["at", log.records.length + 1])
          }
          /** To the end of a commit. */
          const advance = (server: 0 | 1) => {
            const ends = log.records.flatMap(([key], i) => (key === "at" ? [i + 1] : []))
            const reached = ends.find((end) => end > reachedBy[server])
            if (reached === undefined) return
            const further = ends[Math.min(ends.length - 1, ends.indexOf(reached) + random(4))]!
            servers[server].advance(further - reachedBy[server])
            reachedBy[server] = further
          }
          const reachedBy: [number, number] = [0, 0]
          for (let i = 0; i < 5; i++) write()
          advance(0)
          advance(1)
          const { complaints, page } = yield* open(yield* Chromium, url)
          yield* shows(page, reachedBy[0])
          yield* Effect.promise(() => watch(page))
          for (let step = 0; step < 100; step++) {
            const kind = random(10)
            if (kind < 4) write()
            else if (kind < 9) advance(random(4) === 0 ? 1 : 0)
            else {
              choose(random(2) === 0 ? 0 : 1)
              cut()
            }
            // Most steps are seen by themselves.
            for (let frames = random(8); frames > 0; frames--) {
              yield* Effect.promise(() =>
                page.evaluate(() => new Promise((done) => requestAnimationFrame(() => done(0))))
              )
            }
          }
          for (const server of [0, 1] as const) servers[server].advance(log.records.length)
          const length = log.records.length
          yield* shows(page, length)
          const before = yield* statesOf(page)
          // Another topic of that name: the page goes to its start.
          const [old, id] = [[...log.records], "b".repeat(32)]
          Object.assign(log, {
            id,
            records: [
              ["k1", 1],
              ["at", 2]
            ]
          })
          yield* servers[0].rebuild
          yield* servers[1].rebuild
          yield* shows(page, 2)

          const atOf = (state: State): number => state.find(([key]) => key === "at")![1]
          for (const state of before) {
            const expected = [...contentsOf(old.slice(0, atOf(state)))].toSorted(([a], [b]) => (a < b ? -1 : 1))
            assert.deepStrictEqual(state, expected, `at ${atOf(state)}`)
          }
          const ats = before.map(atOf)
          assert.deepStrictEqual(
            ats,
            ats.toSorted((a, b) => a - b)
          )
          assert.isAbove(ats.length, 5)
          assert.deepStrictEqual((yield* statesOf(page)).at(-1), [
            ["at", 2],
            ["k1", 1]
          ])
          assert.deepStrictEqual(complaints, [])
        }).pipe(Effect.scoped)
      )
    }
  })
})
