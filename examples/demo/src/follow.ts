/** Shows a topic that somebody else writes: any JSON, read only. */
import { Effect, HashMap, Option, Schedule, Schema } from "effect"
import { KafkaTable, TableTopic } from "effect-ktables"
import { type Display, observe, toChange } from "./observe.ts"
import type { Output } from "./terminal/Output.ts"
import { changeText, type Picture } from "./terminal/Picture.ts"
import { clean, count } from "./terminal/text.ts"

const display: Display<unknown> = {
  columns: [
    { title: "KEY", width: 28 },
    { title: "VALUE", width: 0 }
  ],
  cells: (key, value) => [key, JSON.stringify(value)],
  detail: (value) => JSON.stringify(value)
}

export interface FollowOptions {
  readonly topic: string
  readonly where: string
  readonly notice: () => string | undefined
}

/** Runs until the table fails or the person ends it; `onEnd` then hears the last line. */
export const follow = Effect.fnUntraced(function* (
  output: Output,
  options: FollowOptions,
  onEnd: (line: string) => void
) {
  const topic = TableTopic.make({ name: options.topic, key: Schema.String, value: Schema.Unknown })
  const table = yield* KafkaTable.make(topic, {
    ensureTopic: false,
    catchUp: { mode: "background" },
    startTimeout: "5 seconds"
  })
  let seen = 0
  const observer = yield* observe(table, display, (batch) => {
    for (const change of batch) {
      if (change._tag === "Snapshot") {
        if (change.resync)
          output.line(`# more came than could be written: the ${HashMap.size(change.entries)} entries again`)
        const entries = [...change.entries].sort(([a], [b]) => (a < b ? -1 : 1))
        for (const [key, value] of entries) {
          output.line(changeText({ kind: "added", key, detail: display.detail(value, Option.none()) }))
        }
      } else {
        seen++
        output.line(changeText(toChange(display, change)))
      }
    }
  })

  const showOnce = Effect.map(observer.look, (observed) => {
    const picture: Picture = {
      title: `${clean(options.topic)} · ${options.where}`,
      ...observed,
      course: undefined,
      notice: options.notice(),
      hint: "Ctrl-C ends"
    }
    output.show(picture)
  })
  if (output.isScreen) yield* Effect.forkScoped(Effect.repeat(showOnce, Schedule.spaced("100 millis")))
  const end = Effect.map(showOnce, () =>
    onEnd(
      `${clean(options.topic)}: ${count(table.view.size)} entries; ${count(seen)} changes came in while it was shown.`
    )
  )
  return yield* Effect.onInterrupt(table.failure, () => end)
})
