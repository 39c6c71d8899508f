/**
 * The listeners of a secured broker: SASL without TLS, SASL over TLS and TLS alone, with users, SCRAM and access rules.
 */
import { execFile } from "node:child_process"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { promisify } from "node:util"

const run = promisify(execFile)

/** Users and their passwords. `admin` may do everything. */
export const users = { admin: "admin-secret", alice: "alice-secret", mallory: "mallory-secret" } as const

const storePassword = "changeit"

export interface Certificate {
  readonly keystore: string
  /** PEM. */
  readonly ca: string
}

/** A self-signed certificate of `localhost` and 127.0.0.1. `keytool` is part of every JDK. */
export const makeCertificate = async (directory: string): Promise<Certificate> => {
  const keystore = path.join(directory, "broker.p12")
  const store = ["-storetype", "PKCS12", "-keystore", keystore, "-storepass", storePassword, "-alias", "broker"]
  await run("keytool", [
    "-genkeypair",
    "-keyalg",
    "EC",
    "-groupname",
    "secp256r1",
    "-dname",
    "CN=localhost",
    "-ext",
    "san=dns:localhost,ip:127.0.0.1",
    "-validity",
    "30",
    ...store
  ])
  const { stdout } = await run("keytool", ["-exportcert", "-rfc", ...store])
  await fs.writeFile(path.join(directory, "ca.pem"), stdout)
  return { keystore, ca: stdout }
}

export interface SecurePorts {
  readonly saslPlaintext: number
  readonly saslSsl: number
  readonly ssl: number
}

/** SCRAM users are written by the format tool. */
export const scramArguments: ReadonlyArray<string> = Object.entries(users).flatMap(([name, password]) =>
  ["SCRAM-SHA-256", "SCRAM-SHA-512"].flatMap((mechanism) => [
    "--add-scram",
    `${mechanism}=[name=${name},password=${password}]`
  ])
)

export const secureListeners = (ports: SecurePorts) => ({
  listeners:
    `SASL_PLAINTEXT://127.0.0.1:${ports.saslPlaintext},SASL_SSL://127.0.0.1:${ports.saslSsl},` +
    `SSL://127.0.0.1:${ports.ssl}`,
  advertised:
    `SASL_PLAINTEXT://127.0.0.1:${ports.saslPlaintext},SASL_SSL://localhost:${ports.saslSsl},` +
    `SSL://localhost:${ports.ssl}`,
  protocols: "SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL"
})

export const secureProperties = (
  certificate: Certificate,
  sessionLifetime: number | undefined
): Record<string, string> => {
  const security = "org.apache.kafka.common.security"
  const passwords = Object.entries(users).map(([name, password]) => `user_${name}="${password}"`)
  const login: Record<string, string> = {
    plain: `${security}.plain.PlainLoginModule required ${passwords.join(" ")};`,
    "scram-sha-256": `${security}.scram.ScramLoginModule required;`,
    "scram-sha-512": `${security}.scram.ScramLoginModule required;`,
    // Tokens without a signature: enough to see that a client sends the one it was given.
    oauthbearer: `${security}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="admin";`
  }
  return {
    "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
    ...Object.fromEntries(
      ["sasl_plaintext", "sasl_ssl"].flatMap((listener) =>
        Object.entries(login).map(([mechanism, value]) => [
          `listener.name.${listener}.${mechanism}.sasl.jaas.config`,
          value
        ])
      )
    ),
    "ssl.keystore.type": "PKCS12",
    "ssl.keystore.location": certificate.keystore,
    "ssl.keystore.password": storePassword,
    "ssl.key.password": storePassword,
    "ssl.client.auth": "none",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    // Connections of the inner listeners carry no name.
    "super.users": "User:ANONYMOUS;User:admin",
    "allow.everyone.if.no.acl.found": "true",
    ...(sessionLifetime === undefined ? {} : { "connections.max.reauth.ms": String(sessionLifetime) })
  }
}
