import { spawnSync } from 'node:child_process';
import { cpSync, linkSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PLUGIN_NAMES } from '../../../plugins/index.ts';

const ROOT = join(import.meta.dirname, '../../..');

/** e_machine of an ELF header. */
export const Machine = { amd64: 0x3e, arm64: 0xb7 } as const;

export type Ran = { status: number | null; stdout: string; stderr: string };

/** Runs a script of scripts/ with further variables, but without the modules that tap makes every Node.js load. */
export function runScript(name: string, args: string[], env: { [name: string]: string } = {}): Ran {
  return spawnSync('env', ['-u', 'NODE_OPTIONS', 'bash', join(ROOT, 'scripts', name), ...args], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** The same, which must succeed. */
export function mustRunScript(name: string, args: string[], env: { [name: string]: string } = {}): Ran {
  const ran = runScript(name, args, env);
  if (ran.status !== 0) throw new Error(`${name}: ${ran.stderr || ran.stdout}`);
  return ran;
}

/** The output of a program, which must succeed. */
export function output(program: string, args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 1 << 26 });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr}`);
  return stdout;
}

/** A folder of executables that consist only of an ELF header for that machine, as hard links to one file. */
export function writeStandIns(
  folder: string,
  machine: number,
  names: readonly string[] = ['waymark', ...PLUGIN_NAMES],
): void {
  const header = Buffer.alloc(64);
  header.write('\u007fELF', 'latin1');
  header.writeUInt16LE(machine, 18);
  mkdirSync(folder, { recursive: true });
  const [first = '', ...others] = names;
  writeFileSync(join(folder, first), header, { mode: 0o755 });
  for (const name of others) linkSync(join(folder, first), join(folder, name));
}

/** A build whose single-file executables are stand-ins, to save the time that 150 MB take. The rest is real. */
export function standInBuild(folder: string, machines: { [folder: string]: number }): string {
  for (const [name, machine] of Object.entries(machines)) {
    writeStandIns(join(folder, name), machine, name.startsWith('shim') ? PLUGIN_NAMES : undefined);
  }
  cpSync(join(ROOT, 'dist/bundled.json'), join(folder, 'bundled.json'));
  return folder;
}
