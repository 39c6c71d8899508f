/**
 * Keys and values that were given on the command line, as bytes.
 */
import { Effect, Result } from "effect"
import { type CommandFailed, failed } from "./failure.ts"
import { format } from "./formats.ts"
import type { Settings } from "./settings.ts"

const bytesOf = (settings: Settings, part: "key" | "value", text: string): Effect.Effect<Uint8Array, CommandFailed> =>
  Result.match(format(settings[part]).encode(text), {
    onSuccess: Effect.succeed,
    onFailure: (why) => Effect.fail(failed("usage", `the ${part} does not fit --${part} ${settings[part]}: ${why}`))
  })

export const keyBytes = (settings: Settings, text: string) => bytesOf(settings, "key", text)

export const valueBytes = (settings: Settings, text: string) => bytesOf(settings, "value", text)
