/**
 * What ends a command before it has done what it was asked, as one sentence and an exit code.
 */
import { Data, Runtime } from "effect"

/** Documented in the package's README. */
export const ExitCode = {
  failed: 1,
  usage: 2,
  unreachable: 3,
  missing: 4,
  unconfirmed: 5,
  unknown: 6
} as const

export class CommandFailed extends Data.TaggedError("CommandFailed")<{
  readonly code: number
  readonly detail: string
}> {
  override readonly [Runtime.errorExitCode] = this.code
  override get message(): string {
    return this.detail
  }
}

export const failed = (code: keyof typeof ExitCode, detail: string): CommandFailed =>
  new CommandFailed({ code: ExitCode[code], detail })

const codes: Readonly<Record<string, keyof typeof ExitCode>> = {
  InvalidOption: "usage",
  InvalidTopic: "usage",
  EncodeError: "usage",
  Unreachable: "unreachable",
  BrokersUnreachable: "unreachable",
  ConnectionFailed: "unreachable",
  RequestTimedOut: "unreachable",
  AuthenticationRefused: "unreachable",
  AuthenticationFailed: "unreachable",
  NotAuthorized: "unreachable",
  WriteTimeout: "unreachable",
  TopicDeleted: "missing",
  WriteOutcomeUnknown: "unknown"
}

interface Tagged {
  readonly _tag: string
  readonly message: string
}

/** What the library fails with, as what a command fails with. */
export const fromError = (error: Tagged): CommandFailed => {
  if (error._tag === "CommandFailed") return error as CommandFailed
  if (error._tag === "NotStarted") return fromError((error as unknown as { readonly reason: Tagged }).reason)
  if (error._tag === "TopicNotFound") {
    const { topic } = error as unknown as { readonly topic: string }
    return failed("missing", `topic ${topic} does not exist on these brokers: \`ktables topics\` lists those that do`)
  }
  return failed(codes[error._tag] ?? "failed", error.message)
}
