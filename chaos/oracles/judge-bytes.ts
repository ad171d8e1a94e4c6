// judge-bytes.ts: is every byte that the process wrote there, once, and right?
import type { Evidence } from "./judge.ts";
import type { Finding, Oracle } from "./verdict.ts";

const oracleOf = { lost: "lost bytes", doubled: "doubled bytes", wrong: "wrong bytes" } as const;

export function judgeBytes(evidence: Evidence): Finding[] {
  return (["stdout", "stderr"] as const).flatMap((stream) => judgeStream(evidence, stream));
}

function judgeStream({ exec, view, recorded }: Evidence, stream: "stdout" | "stderr"): Finding[] {
  const { receivedBytes, differences } = view.streams[stream];
  const findings = differences.map(({ is, atByte, bytes }): Finding => {
    return found(oracleOf[is], `${stream}: ${bytes} bytes ${is} at byte ${atByte}`);
  });
  if (differences.length > 0) return findings;

  const { end } = recorded;
  const told = view.end.is;
  // Only an exit says that this was all. An error may come at any byte; what came must be right, as above.
  if (told === "exit" && end !== undefined && receivedBytes < end.written[stream])
    findings.push(
      found("lost bytes", `${stream}: ${receivedBytes} of ${end.written[stream]} bytes came`),
    );
  const most = mostBytes(exec.work, stream);
  if (receivedBytes > most)
    findings.push(found("doubled bytes", `${stream}: ${receivedBytes} bytes came of ${most}`));
  // The other direction, as the process itself counted it.
  if (stream === "stdout" && exec.work.kind === "echo" && end !== undefined && told === "exit") {
    const { stdinBytes } = exec.work;
    if (end.stdinBytes < stdinBytes)
      findings.push(found("lost bytes", `stdin: ${end.stdinBytes} of ${stdinBytes} bytes came`));
    if (end.stdinBytes > stdinBytes)
      findings.push(found("doubled bytes", `stdin: ${end.stdinBytes} bytes came of ${stdinBytes}`));
  }
  return findings;
}

function mostBytes(work: Evidence["exec"]["work"], stream: "stdout" | "stderr"): number {
  if (work.kind !== "echo") return work[`${stream}Bytes`];
  return stream === "stdout" ? work.stdinBytes : 0;
}

function found(oracle: Oracle, detail: string): Finding {
  return { oracle, detail };
}
