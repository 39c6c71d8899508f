// Command peer measures goka's view and emitter as the benchmarks measure their own: one JSON object per line.
//
// Usage: peer catchup|propagation|write|restart -brokers B -topic T [-decode raw|json|json-read] [-count N] [-warmup N]
// [-seconds S] [-state DIR]
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
	"github.com/lovoo/goka/storage"
)

type service struct {
	Name        string `json:"name"`
	Host        string `json:"host"`
	Port        int    `json:"port"`
	Version     int    `json:"version"`
	Healthy     bool   `json:"healthy"`
	Description string `json:"description"`
}

// serviceCodec is what a goka user writes for JSON values.
type serviceCodec struct{}

func (serviceCodec) Encode(value any) ([]byte, error) { return json.Marshal(value) }

func (serviceCodec) Decode(data []byte) (any, error) {
	decoded := &service{}
	return decoded, json.Unmarshal(data, decoded)
}

// mapStorage is goka's in-memory storage without its sorted list of keys, which is sorted anew at every new key and makes
// a replay of 100,000 keys take minutes.
type mapStorage struct {
	storage.Storage
	sync.RWMutex
	values  map[string][]byte
	decoded map[string]any
	// Values are also decoded as they are set, so that a read costs nothing.
	decodes bool
	offset  int64
}

func newMapStorage(decodes bool) *mapStorage {
	return &mapStorage{Storage: storage.NewMemory(), values: map[string][]byte{}, decoded: map[string]any{},
		decodes: decodes, offset: -1}
}

func (m *mapStorage) Has(key string) (bool, error) {
	m.RLock()
	defer m.RUnlock()
	_, has := m.values[key]
	return has, nil
}

func (m *mapStorage) Get(key string) ([]byte, error) {
	m.RLock()
	defer m.RUnlock()
	return m.values[key], nil
}

func (m *mapStorage) Set(key string, value []byte) error {
	m.Lock()
	defer m.Unlock()
	m.values[key] = value
	if !m.decodes {
		return nil
	}
	decoded, err := serviceCodec{}.Decode(value)
	m.decoded[key] = decoded
	return err
}

func (m *mapStorage) Delete(key string) error {
	m.Lock()
	defer m.Unlock()
	delete(m.values, key)
	delete(m.decoded, key)
	return nil
}

func (m *mapStorage) SetOffset(offset int64) error {
	m.Lock()
	defer m.Unlock()
	m.offset = offset
	return nil
}

func (m *mapStorage) GetOffset(otherwise int64) (int64, error) {
	m.RLock()
	defer m.RUnlock()
	if m.offset < 0 {
		return otherwise, nil
	}
	return m.offset, nil
}

// storages hands out one storage per partition and remembers them, for counting.
type storages struct {
	sync.Mutex
	decodes bool
	all     []*mapStorage
}

func (s *storages) build(topic string, partition int32) (storage.Storage, error) {
	s.Lock()
	defer s.Unlock()
	one := newMapStorage(s.decodes)
	s.all = append(s.all, one)
	return one, nil
}

type quiet struct{}

func (quiet) Print(...any)          {}
func (quiet) Println(...any)        {}
func (quiet) Printf(string, ...any) {}

var (
	brokers = flag.String("brokers", "", "")
	topic   = flag.String("topic", "", "")
	decode  = flag.String("decode", "raw", "")
	count   = flag.Int("count", 1000, "")
	warmup  = flag.Int("warmup", 100, "")
	seconds = flag.Float64("seconds", 3, "")
	state   = flag.String("state", "", "")
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func emit(row map[string]any) {
	row["client"] = "goka (Go)"
	row["topic"] = *topic
	line, err := json.Marshal(row)
	check(err)
	fmt.Println(string(line))
}

func rssMiB() int {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.Atoi(strings.Fields(string(statm))[1])
	return pages * os.Getpagesize() >> 20
}

// cpuTime is that of all threads of the process.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func millis(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// startView returns when the view runs, with its storages and what stops it.
func startView(update goka.UpdateCallback, valueCodec goka.Codec, decodes bool) (*goka.View, *storages, func()) {
	built := &storages{decodes: decodes}
	view, stop := startViewOn(built.build, update, valueCodec)
	return view, built, stop
}

func startViewOn(build storage.Builder, update goka.UpdateCallback, valueCodec goka.Codec) (*goka.View, func()) {
	view, err := goka.NewView(strings.Split(*brokers, ","), goka.Table(*topic), valueCodec,
		goka.WithViewStorageBuilder(build), goka.WithViewCallback(update), goka.WithViewLogger(quiet{}))
	check(err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- view.Run(ctx) }()
	select {
	case <-view.WaitRunning():
	case err := <-done:
		check(fmt.Errorf("the view ended: %v", err))
	}
	return view, func() {
		cancel()
		<-done
	}
}

// restart is with LevelDB, in the directory where a former process has left it: from the start until all entries were read once.
func restart() {
	started := time.Now()
	cpu := cpuTime()
	view, stop := startViewOn(storage.DefaultBuilder(*state), goka.DefaultUpdate, new(codec.Bytes))
	ms := millis(time.Since(started))
	entries, err := view.Iterator()
	check(err)
	keys := 0
	for entries.Next() {
		_, err := entries.Value()
		check(err)
		keys++
	}
	check(entries.Err())
	entries.Release()
	iterated := millis(time.Since(started))
	cpuMs := millis(cpuTime() - cpu)
	stop()
	emit(map[string]any{"metric": "restart", "decode": "raw", "ms": ms, "iteratedMs": iterated, "cpuMs": cpuMs, "keys": keys,
		"rssMiB": rssMiB()})
}

func catchUp() {
	var applied atomic.Int64
	detail := "fresh process"
	var valueCodec goka.Codec = new(codec.Bytes)
	switch *decode {
	case "json":
		detail = "fresh process, decoded as applied"
	case "json-read":
		// As a view with a codec does it: bytes are kept and every read decodes.
		detail = "fresh process, decoded when read"
		valueCodec = serviceCodec{}
	}
	started := time.Now()
	cpu := cpuTime()
	_, built, stop := startView(func(ctx goka.UpdateContext, s storage.Storage, key string, value []byte) error {
		applied.Add(1)
		return goka.DefaultUpdate(ctx, s, key, value)
	}, valueCodec, *decode == "json")
	keys := 0
	for _, one := range built.all {
		one.RLock()
		for _, value := range one.values {
			if *decode == "json-read" {
				_, err := valueCodec.Decode(value)
				check(err)
			}
			keys++
		}
		one.RUnlock()
	}
	ms := millis(time.Since(started))
	cpuMs := millis(cpuTime() - cpu)
	records := applied.Load()
	decoded := "raw"
	if *decode != "raw" {
		decoded = "json"
	}
	emit(map[string]any{"metric": "catchup", "decode": decoded, "detail": detail, "ms": ms, "cpuMs": cpuMs, "records": records,
		"rps": float64(records) / ms * 1000, "keys": keys, "rssMiB": rssMiB()})
	stop()
}

func value(sequence int64) []byte {
	head := fmt.Sprintf(`{"version":%d,"description":"`, sequence)
	return []byte(head + strings.Repeat("x", 1024-len(head)-2) + `"}`)
}

// newEmitter acknowledges by all replicas and does not linger: goka's own defaults are the leader alone and 100 ms.
func newEmitter() *goka.Emitter {
	config := goka.DefaultConfig()
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Compression = sarama.CompressionNone
	config.Producer.Flush.Frequency = 0
	config.Producer.Flush.Bytes = 0
	emitter, err := goka.NewEmitter(strings.Split(*brokers, ","), goka.Stream(*topic), new(codec.Bytes),
		goka.WithEmitterProducerBuilder(goka.ProducerBuilderWithConfig(config)), goka.WithEmitterLogger(quiet{}))
	check(err)
	return emitter
}

func propagation() {
	visible := make(chan string, 1024)
	_, _, stop := startView(func(ctx goka.UpdateContext, s storage.Storage, key string, value []byte) error {
		err := goka.DefaultUpdate(ctx, s, key, value)
		select {
		case visible <- string(value[:32]):
		default:
		}
		return err
	}, new(codec.Bytes), false)
	emitter := newEmitter()
	measured := []float64{}
	base := time.Now().UnixMilli()
	for i := 0; i < *warmup+*count; i++ {
		written := value(base + int64(i))
		started := time.Now()
		check(emitter.EmitSync(fmt.Sprintf("key-%d", i%100), written))
		for seen := range visible {
			if seen == string(written[:32]) {
				break
			}
		}
		if i >= *warmup {
			measured = append(measured, millis(time.Since(started)))
		}
	}
	sort.Float64s(measured)
	emit(map[string]any{"metric": "propagation", "detail": "closed loop", "p50": measured[len(measured)/2],
		"p99": measured[int(float64(len(measured))*0.99)]})
	check(emitter.Finish())
	stop()
}

func write() {
	for _, inFlight := range []int{1, 8, 64, 256} {
		emitter := newEmitter()
		var written, counted atomic.Int64
		permits := make(chan struct{}, inFlight)
		from := time.Now().Add(time.Duration(*seconds / 3 * 1e9))
		until := from.Add(time.Duration(*seconds * 1e9))
		var started time.Time
		for sequence := int64(0); time.Now().Before(until); sequence++ {
			permits <- struct{}{}
			if started.IsZero() && !time.Now().Before(from) {
				started = time.Now()
				counted.Store(written.Load())
			}
			promise, err := emitter.Emit(fmt.Sprintf("key-%d", sequence%10000), value(sequence))
			check(err)
			promise.Then(func(err error) {
				if err == nil {
					written.Add(1)
				}
				<-permits
			})
		}
		ms := millis(time.Since(started))
		records := written.Load() - counted.Load()
		emit(map[string]any{"metric": "write", "detail": fmt.Sprintf("%d in flight", inFlight),
			"records": records, "rps": float64(records) / ms * 1000})
		check(emitter.Finish())
	}
}

func main() {
	if len(os.Args) < 2 {
		check(fmt.Errorf("usage: peer catchup|propagation|write -brokers B -topic T"))
	}
	check(flag.CommandLine.Parse(os.Args[2:]))
	sarama.Logger = log.New(io.Discard, "", 0)
	switch os.Args[1] {
	case "catchup":
		catchUp()
	case "propagation":
		propagation()
	case "write":
		write()
	case "restart":
		restart()
	default:
		check(fmt.Errorf("no such measurement: %s", os.Args[1]))
	}
}
