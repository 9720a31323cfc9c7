import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { explainList, explanationLines, wouldFail } from '../../cli/explain.ts';
import { type FamilyPlugin, PLUGINS } from '../../plugins/index.ts';
import { scratchFolder } from '../support/namespaces/namespace.ts';

// `waymark explain` with a plugin that runs other plugins, which implements the verbs itself.

const nothing = async () => undefined;
const handlers = { ADD: nothing, CHECK: nothing, DEL: nothing, GC: nothing, STATUS: nothing };
const META: FamilyPlugin = { name: 'meta', version: '1', handlers };

t.test('a plugin without a definition is ours; what the plugins that it runs do is not explained', async (t) => {
  const file = join(scratchFolder(t), 'green.conflist');
  const plugins = [{ type: 'meta' }, { type: 'static-route', routes: [{ dst: '10.9.0.0/16', dev: 'eth0' }] }];
  writeFileSync(file, JSON.stringify({ cniVersion: '1.1.0', name: 'green', plugins }));
  const explained = await explainList(file, {}, {}, [META, ...PLUGINS]);
  t.strictSame(explanationLines(explained).slice(2), [
    'plugins[0] meta:',
    '  runs other plugins, which are not explained',
    'plugins[1] static-route:',
    '  would add route 10.9.0.0/16 dev eth0',
  ]);
  t.notOk(wouldFail(explained));
  const [unknown] = (await explainList(file, {}, {})).plugins;
  t.match(unknown, { type: 'meta', ours: false }, 'and to a family that lacks it, it is not ours');
});
