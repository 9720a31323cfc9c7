import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { reasonOf } from '../lib/files/reason.ts';
import { RuntimeError } from '../lib/runtime/errors.ts';
import { VERSION } from '../lib/version.ts';
import { namesIn, textOf } from './doctor/readable.ts';
import { type DoctorOptions, diagnosisLines, examine, nodePlace } from './doctor.ts';
import { listLines, listNode } from './list.ts';
import { podNamesRemover, redactedList } from './redact.ts';
import { readPage } from './status.ts';
import { type ArchivedFile, archive } from './tar.ts';

export type ReportOptions = DoctorOptions & { out?: string; names?: boolean };

/** Of a log, its end is of interest. */
const LOG_LINES = 500;

/**
 * Writes an archive for support: what `doctor`, `list` and the agent say, versions, network lists and the ends of logs. No
 * secrets are in it, and no names of pods unless they are asked for. `stdout` gets it if `out` is "-". Returns where it is.
 *
 * Throws RuntimeError if the file cannot be made; an existing one is not replaced.
 */
export async function writeReport(options: ReportOptions, stdout: (bytes: Buffer) => void): Promise<string> {
  const now = new Date();
  const path = options.out ?? `waymark-report-${now.toISOString().replace(/[:.]/g, '-')}.tar.gz`;
  const bytes = archive(await filesOf(options), now.getTime() / 1000);
  if (path === '-') stdout(bytes);
  else writeNew(path, bytes);
  return path;
}

function writeNew(path: string, bytes: Buffer): void {
  try {
    const fd = openSync(path, 'wx', 0o600);
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw new RuntimeError(`${path} cannot be written: ${reasonOf(error)}`, { cause: error });
  }
}

/** What goes into it. A part that cannot be had is replaced by the reason. */
async function filesOf(options: ReportOptions): Promise<ArchivedFile[]> {
  const node = nodePlace();
  try {
    const { socket, netDir } = options;
    const files = [
      await part(
        'versions.txt',
        async () => `waymark ${VERSION}\nnode ${process.version}\n${readFileSync('/proc/version')}`,
      ),
      ...(await diagnosis(options)),
      ...(await attachments(options)),
      await part('status.json', async () => indented(await readPage(socket, '/status'))),
      await part('metrics.txt', () => readPage(socket, '/metrics')),
      ...listsIn(node.pathOf(netDir)),
      ...logs(node.pathOf, netDir),
    ];
    if (options.names) return files;
    const removeNames = podNamesRemover(files.map(({ content }) => content));
    return files.map(({ name, content }) => ({ name, content: removeNames(content) }));
  } finally {
    node.close();
  }
}

async function part(name: string, read: () => Promise<string>): Promise<ArchivedFile> {
  try {
    return { name, content: await read() };
  } catch (error) {
    return { name: `${name}.missing`, content: `${(error as Error).message}\n` };
  }
}

async function diagnosis(options: ReportOptions): Promise<ArchivedFile[]> {
  const found = await examine(options);
  return [
    { name: 'doctor.txt', content: lines(diagnosisLines(found)) },
    { name: 'doctor.json', content: indented(JSON.stringify(found)) },
  ];
}

async function attachments({ dataDir }: ReportOptions): Promise<ArchivedFile[]> {
  try {
    const found = await listNode(dataDir === undefined ? {} : { dataDir });
    return [
      { name: 'list.txt', content: lines(listLines(found)) },
      { name: 'list.json', content: indented(JSON.stringify(found)) },
    ];
  } catch (error) {
    return [{ name: 'list.txt.missing', content: `${(error as Error).message}\n` }];
  }
}

function listsIn(folder: string): ArchivedFile[] {
  return namesIn(folder)
    .filter((name) => /\.(conflist|conf|json)$/.test(name))
    .map((name) => ({ name: `lists/${name}`, content: redactedList(textOf(join(folder, name))) }));
}

// The agent's, in a container or under systemd; the plugins' own, where lists name files for them.
function logs(pathOf: (path: string) => string, netDir: string): ArchivedFile[] {
  const folder = pathOf('/var/log/containers');
  const ofContainers = namesIn(folder).filter((name) => /^waymark-.*_agent-.*\.log$/.test(name));
  const lists = namesIn(pathOf(netDir)).map((name) => textOf(join(pathOf(netDir), name)));
  const own = lists.flatMap((text) => [...text.matchAll(/"logFile"\s*:\s*"([^"]+)"/g)].map(([, path = '']) => path));
  return [
    ...ofContainers.map((name, i) => ({
      name: `log/agent-${i + 1}.log`,
      content: textOf(pathOf(`/var/log/containers/${name}`)),
    })),
    { name: 'log/agent-journal.log', content: journal() },
    ...[...new Set(own)].map((path, i) => ({ name: `log/plugins-${i + 1}.log`, content: textOf(pathOf(path)) })),
  ]
    .filter(({ content }) => content !== '')
    .map(({ name, content }) => ({ name, content: lines(content.trimEnd().split('\n').slice(-LOG_LINES)) }));
}

function journal(): string {
  const args = ['--unit', 'waymark-agent', '--lines', String(LOG_LINES), '--output', 'cat', '--no-pager', '--quiet'];
  try {
    return execFileSync('journalctl', args, { encoding: 'utf8', timeout: 10_000, stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    // There is no systemd here.
    return '';
  }
}

function indented(json: string): string {
  return `${JSON.stringify(JSON.parse(json), undefined, 2)}\n`;
}

function lines(text: readonly string[]): string {
  return `${text.join('\n')}\n`;
}
