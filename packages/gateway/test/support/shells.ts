import { spawnSync } from "node:child_process";

/** /bin/sh, and the other shells of this machine that a sandbox may have as its sh. */
export const installedShells = ["/bin/sh", "bash", "dash", "ksh"].filter(
  (shell) => spawnSync(shell, ["-c", "exit 0"]).status === 0,
);
