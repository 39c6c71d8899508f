/**
 * The broker's jars, fetched once by the user's own Maven (its mirrors and proxies apply) and kept in the workspace.
 */
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"

const run = promisify(execFile)

/** The release that tests run on unless they ask for another. */
export const defaultVersion = "4.3.1"

/** Where one version lives: `libs/` with the jars, beside files derived from them. */
export interface Distribution {
  readonly version: string
  readonly directory: string
  readonly libs: string
}

// Without a binding of SLF4J a broker logs nothing, and its log is how readiness is seen.
const pom = (version: string): string =>
  `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>broker</artifactId><version>1</version>
<dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${version}</version></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
</dependencies></project>
`

/** `node_modules/.cache/kafka` of the outermost workspace around the working directory. */
const cacheDirectory = (): string => {
  let found: string | undefined
  for (let at = process.cwd(); ; at = path.dirname(at)) {
    if (existsSync(path.join(at, "node_modules"))) found = at
    if (path.dirname(at) === at) break
  }
  return found === undefined
    ? path.join(os.tmpdir(), "effect-ktables-kafka-jars")
    : path.join(found, "node_modules", ".cache", "kafka")
}

/** True when a broker can be run here: a JVM, and Maven to fetch it with. */
export const jvmAnswers = async (): Promise<boolean> => {
  try {
    await Promise.all([run("java", ["-version"]), run("mvn", ["--version"])])
    return true
  } catch {
    return false
  }
}

/** Concurrent first fetches, in any number of processes, each work in a directory of their own; the first one in wins. */
export const fetchJars = async (version: string = defaultVersion): Promise<Distribution> => {
  const cache = cacheDirectory()
  const directory = path.join(cache, version)
  const libs = path.join(directory, "libs")
  const distribution = { version, directory, libs }
  if (existsSync(libs)) return distribution
  await fs.mkdir(cache, { recursive: true })
  const temporary = await fs.mkdtemp(path.join(cache, `.fetch-${version}-`))
  try {
    await fs.writeFile(path.join(temporary, "pom.xml"), pom(version))
    await run(
      "mvn",
      [
        "-B",
        "-q",
        "-f",
        path.join(temporary, "pom.xml"),
        "dependency:copy-dependencies",
        "-DincludeScope=runtime",
        `-DoutputDirectory=${path.join(temporary, "libs")}`
      ],
      { maxBuffer: 1 << 26 }
    )
    await fs.rename(temporary, directory).catch((error: unknown) => {
      if (!existsSync(libs)) throw error
    })
    return distribution
  } finally {
    await fs.rm(temporary, { recursive: true, force: true })
  }
}
