/** Everything that the report shows, peers beside what they are compared with. */

/** Names and command lines, in the order in which they run. */
export const steps: ReadonlyArray<readonly [string, string]> = [
  ["catchup", "catchup --log rounds --decode raw,schema,schema-jit"],
  ["go", "peers --peers go --log rounds --seconds 1 --count 500"],
  ["drain", "drain --log rounds"],
  ["java", "peers --peers java --log rounds --seconds 1 --count 500 --repeat 15"],
  ["python", "peers --peers python --log rounds --seconds 1 --count 500"],
  ["drain-unique", "drain --log unique"],
  ["unique", "catchup --log unique --decode raw,schema,schema-jit"],
  ["go-unique", "peers --peers go --log unique --seconds 0.2 --count 20"],
  ["restart", "restart --log unique,rounds --sizes 1000000 --decode raw --repeat 3"],
  ["checkpoint", "checkpoint --seconds 20 --repeat 3"],
  ["cold", "cold --client kafkajs,platformatic"],
  ["propagation", "propagation --seconds 1 --count 1000"],
  ["barrier", "barrier --seconds 1 --count 500"],
  ["write", "write --seconds 1"],
  ["reads", "reads --sizes 1000,100000,1000000"],
  ["idle", "idle --client kafkajs,platformatic --seconds 10 --repeat 1 --warmup 0"],
  ["tables", "tables --client kafkajs,platformatic --seconds 10 --count 500 --repeat 1 --warmup 0"],
  ["memory", "memory --sizes 100000"],
  ["memory-large", "memory --sizes 1000000 --log unique --repeat 3 --warmup 0"],
  ["zipf", "catchup --log zipf --decode raw,schema"],
  ["fanout", "fanout --repeat 3"],
  ["operators", "operators --repeat 3"],
  ["http", "http --repeat 3"],
  ["platformatic", "catchup --client platformatic --log rounds --decode raw"],
  ["node", "peers --peers node --log rounds --decode raw --seconds 1 --count 500 --repeat 1 --warmup 0"]
]
