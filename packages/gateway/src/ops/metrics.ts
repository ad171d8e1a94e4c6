// metrics.ts: the numbers of this gateway, for Prometheus. Labels come from closed sets only.
import { Counter, Gauge, Histogram, Registry } from "prom-client";

export interface MetricSources {
  readonly sessions: () => number;
  readonly relays: () => number;
  readonly runningExecs: () => number;
}

export class Metrics {
  readonly #registry = new Registry();
  readonly #execs: Counter<"result">;
  readonly #execSeconds: Histogram;
  readonly #outputBytes: Counter<"stream">;
  readonly #execResumes: Counter;
  readonly #execResumeSeconds: Histogram;
  readonly #deadConnections: Counter;

  constructor(sources: MetricSources) {
    const registers = [this.#registry];
    const gauge = (name: string, help: string, read: () => number) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    gauge("belay_sessions", "Supervisor sessions that live.", sources.sessions);
    gauge("belay_relays", "Relays that are pending or open.", sources.relays);
    gauge(
      "belay_execs_running",
      "Execs that were admitted and have not ended.",
      sources.runningExecs,
    );
    this.#execs = new Counter({
      name: "belay_execs_total",
      help: "Execs that ended, by result: exited, signaled, timed_out, or the kind of the error.",
      labelNames: ["result"],
      registers,
    });
    this.#execSeconds = new Histogram({
      name: "belay_exec_seconds",
      help: "From the request to the end.",
      buckets: [0.01, 0.05, 0.25, 1, 5, 30, 120, 600, 3_600],
      registers,
    });
    this.#outputBytes = new Counter({
      name: "belay_output_bytes_total",
      help: "Output passed on to clients.",
      labelNames: ["stream"],
      registers,
    });
    this.#execResumes = new Counter({
      name: "belay_exec_resumes_total",
      help: "Followed execs that went on over another way to their sandbox.",
      registers,
    });
    this.#execResumeSeconds = new Histogram({
      name: "belay_exec_resume_seconds",
      help: "From the supervisor being reachable again to the exec being followed again.",
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 1, 5, 30],
      registers,
    });
    this.#deadConnections = new Counter({
      name: "belay_connections_dead_total",
      help: "Connections that the HTTP/2 keepalive ended.",
      registers,
    });
  }

  execEnded(result: string, tookMs: number): void {
    this.#execs.inc({ result });
    this.#execSeconds.observe(tookMs / 1_000);
  }

  output(stream: "stdout" | "stderr", bytes: number): void {
    this.#outputBytes.inc({ stream }, bytes);
  }

  execResumed(tookMs: number): void {
    this.#execResumes.inc();
    this.#execResumeSeconds.observe(tookMs / 1_000);
  }

  connectionDied(): void {
    this.#deadConnections.inc();
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }
}
