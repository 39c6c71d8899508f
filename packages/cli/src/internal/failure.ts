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
  unknown: 6,
  unsound: 7,
  ill: 8
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

export const noTopic = (topic: string): CommandFailed =>
  failed("missing", `topic ${topic} does not exist on these brokers: \`ktables topics\` lists those that do`)

/** What a person gives in place of an option of the library. */
const flagsOf: Readonly<Record<string, string>> = {
  brokers: "--brokers (KAFKA_BROKERS)",
  ssl: "what --tls-ca, --tls-cert and --tls-key (KAFKA_TLS_CA, KAFKA_TLS_CERT, KAFKA_TLS_KEY, KAFKA_TLS_PASSPHRASE) give together",
  "sasl.mechanism": "--sasl (KAFKA_SASL_MECHANISM)",
  "sasl.username": "--username (KAFKA_USERNAME)",
  "sasl.password": "the password (--password-file, KAFKA_PASSWORD)"
}

const invalid = ({ expected, given, message, option }: Invalid): CommandFailed => {
  const flag = flagsOf[option]
  if (flag === undefined) return failed("usage", message)
  // The fault follows what a program may give, which nobody gave on a command line.
  return failed(
    "usage",
    option === "ssl"
      ? `${flag}, is refused: ${expected.replace(/^.*?: /, "")}`
      : `${flag} is ${given}: expected ${expected}`
  )
}

interface Invalid extends Tagged {
  readonly option: string
  readonly given: string
  readonly expected: string
}

/** What the library fails with, as what a command fails with. */
export const fromError = (error: Tagged): CommandFailed => {
  if (error._tag === "CommandFailed") return error as CommandFailed
  if (error._tag === "NotStarted") return fromError((error as unknown as { readonly reason: Tagged }).reason)
  if (error._tag === "TopicNotFound") return noTopic((error as unknown as { readonly topic: string }).topic)
  if (error._tag === "InvalidOption") return invalid(error as unknown as Invalid)
  return failed(codes[error._tag] ?? "failed", error.message)
}
