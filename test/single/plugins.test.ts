import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  ASK_VERSION,
  configOf,
  type Ended,
  installed,
  isWhole,
  noSingle,
  start,
  unpackedIn,
} from '../support/build/single.ts';
import { noNamespaces, type Scratch, scratchFolder, scratchPod } from '../support/namespaces/namespace.ts';
import { pictureOf } from '../support/namespaces/picture.ts';
import { bundleOf, type Env, variables } from '../support/plugins/call.ts';
import { PLUGINS, type PluginUnderTest } from '../support/plugins/plugins.ts';
import { previousResult } from '../support/plugins/previous-result.ts';
import { TOPOLOGY_YAML } from '../support/plugins/topology.ts';

// A plugin's single-file executable does the same as its bundle.

const skip = noSingle || noNamespaces;

t.test('every plugin answers as its bundle does, byte for byte', { skip }, async (t) => {
  for (const entry of PLUGINS) {
    t.test(entry.name, async (t) => {
      const folder = installed(t);
      const pod = scratchPod(t);
      const dataDir = join(scratchFolder(t), 'data');
      const steps = stepsOf(entry, pod, dataDir);
      const playedBy = (file: string, args: string[]) =>
        steps.map(([what, env, stdin]) => [what, timeless(start(file, env, stdin, args)), pictureOf(pod)]);
      const before = pictureOf(pod);
      const bundle = playedBy(process.execPath, [bundleOf(entry.name)]);
      t.equal(pictureOf(pod), before, 'all is as before in between');
      const single = playedBy(join(folder, entry.name), []);
      for (const [i, step] of single.entries()) t.strictSame(step, bundle[i], String(step[0]));
      t.ok(isWhole(unpackedIn(folder)));
    });
  }
});

type Step = [what: string, env: Env, stdin: unknown];

/** Each verb, and each way to be refused that the plugins have in common. */
function stepsOf({ name, config: keys, adds }: PluginUnderTest, pod: Scratch, dataDir: string): Step[] {
  const prevResult = previousResult('1.1.0', pod.path);
  const config = configOf(name, dataDir, { ...keys, ...adds?.config, prevResult });
  const verb = (command: string, more: Env = {}) => variables(command, pod.path, more);
  return [
    ['VERSION', ASK_VERSION, ''],
    ['no command', {}, ''],
    ['STATUS', verb('STATUS'), config],
    ['CHECK before ADD', verb('CHECK'), config],
    ['ADD', verb('ADD'), config],
    ['ADD again', verb('ADD'), config],
    ['CHECK', verb('CHECK'), config],
    ['DEL', verb('DEL'), config],
    ['DEL again', verb('DEL'), config],
    ['GC', verb('GC'), config],
    [
      'ADD of version 0.2.0',
      verb('ADD'),
      { ...config, cniVersion: '0.2.0', prevResult: previousResult('0.2.0', pod.path) },
    ],
    ['DEL of version 0.2.0', verb('DEL'), { ...config, cniVersion: '0.2.0' }],
    ['unchained ADD', verb('ADD'), { ...config, prevResult: undefined }],
    ['unchained DEL', verb('DEL'), { ...config, prevResult: undefined }],
    ['unknown command', { CNI_COMMAND: 'NONE' }, config],
    ['missing variables', { CNI_COMMAND: 'ADD' }, config],
    ['no such namespace', variables('ADD', '/run/netns/wm-nowhere'), config],
    ['no namespace', variables('ADD', '/dev/null'), config],
    ['our own namespace', variables('ADD', '/proc/self/ns/net'), config],
    ['nothing on stdin', verb('ADD'), ''],
    ['no JSON on stdin', verb('ADD'), '{"name": '],
    ['a misspelt key', verb('ADD'), { ...config, interfaces: 'eth0' }],
    [
      'a wrong previous result',
      verb('ADD'),
      { ...config, prevResult: { cniVersion: '1.1.0', ips: [{ address: 'x' }] } },
    ],
    ['no such interface', verb('ADD'), { ...config, interface: 'eth9' }],
    ['no data folder', verb('ADD'), { ...config, ...adds?.config, dataDir: '/dev/null/data' }],
  ];
}

/** The log has the time of every line. */
function timeless({ stderr, ...rest }: Ended): Ended {
  return { ...rest, stderr: stderr.replaceAll(/"time":"[^"]*"/g, '"time":""') };
}

t.test('static-route reads a map in YAML, which a call without one does not load', { skip }, async (t) => {
  const folder = installed(t);
  const pod = scratchPod(t);
  pod.ip('address add 140.252.147.50/28 dev eth0');
  const topologyFile = join(scratchFolder(t), 'map.yaml');
  writeFileSync(topologyFile, TOPOLOGY_YAML);
  const config = configOf('static-route', join(scratchFolder(t), 'data'), { topologyFile });
  const ran = start(join(folder, 'static-route'), variables('ADD', pod.path), config);
  t.equal(ran.code, 0, ran.stdout);
  t.equal(pod.ipJson('route show proto 87').length, 2);
});
