// The stage of the panel's story: a port mapper of its own, the panel as a frontend node, and sidekick with the demo's game.
'use strict';

const { spawn, spawnSync } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');

const repository = path.resolve(__dirname, '../..');
const web = path.join(repository, 'elixir_frontend/sidekick_web');

function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function until(what, timeoutMs, fun) {
  const end = Date.now() + timeoutMs;
  for (;;) {
    if (await fun()) return;
    if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// Detached, in a group of its own: it is ended as a whole, and by its own pid.
function start(dir, name, command, options) {
  const log = fs.openSync(path.join(dir, `${name}.log`), 'a');
  const child = spawn(command[0], command.slice(1), { cwd: dir, detached: true, stdio: ['ignore', log, log], ...options });
  fs.closeSync(log);
  child.gone = new Promise((resolve) => child.on('exit', resolve));
  return child;
}

function kill(child, signal) {
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

function makeUser(env) {
  const password = 'a password for the story';
  const made = spawnSync('mix', ['sidekick_web.user', 'olga', 'admin'], { cwd: web, env, input: `${password}\n`, encoding: 'utf8' });
  const line = made.stdout.split('\n').find((text) => text.startsWith('olga:admin:'));
  if (!line) throw new Error(`mix sidekick_web.user: ${made.stdout}${made.stderr}`);
  return { line, name: 'olga', password };
}

async function stage(dir) {
  fs.mkdirSync(dir, { recursive: true });
  const cookie = crypto.randomBytes(12).toString('hex');
  fs.writeFileSync(path.join(dir, 'cookie'), cookie, { mode: 0o400 });
  fs.symlinkSync(path.join(repository, 'godot/demo'), path.join(dir, 'game'));
  const config = fs.readFileSync(path.join(repository, 'docs/examples/demo.toml'), 'utf8');
  // The panel's sidekick takes its game along, for nobody adopts it after the story.
  fs.writeFileSync(path.join(dir, 'demo.toml'), config.replaceAll('DEMO_DIR', dir).replace('on_exit = "keep"', 'on_exit = "stop"'));

  const epmdPort = await freePort();
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const env = { ...process.env, ERL_EPMD_PORT: String(epmdPort), MIX_ENV: 'prod' };
  const user = makeUser(env);
  fs.writeFileSync(path.join(dir, 'users'), `${user.line}\n`, { mode: 0o600 });
  const epmd = start(dir, 'epmd', ['epmd', '-address', '127.0.0.1', '-port', String(epmdPort)], { env });

  const panelEnv = {
    ...env,
    SIDEKICK_WEB_PORT: String(port),
    SIDEKICK_WEB_USERS_FILE: path.join(dir, 'users'),
    SIDEKICK_WEB_SECRET: crypto.randomBytes(48).toString('hex'),
    SIDEKICK_DATA_DIR: path.join(dir, 'khepri'),
    SIDEKICK_NODES: 'sidekick@127.0.0.1',
  };
  const command = ['elixir', '--name', 'frontend@127.0.0.1', '--cookie', cookie, '-S', 'mix', 'phx.server', '--no-compile'];
  let panel;
  let sidekick;
  const answers = () => fetch(`${url}/login`).then((r) => r.status === 200, () => false);
  const startPanel = async () => {
    panel = start(dir, 'panel', command, { cwd: web, env: panelEnv });
    await until('the panel to answer', 60000, answers);
  };

  const strike = async () => {
    // In this order: what sidekick still uploads is taken in.
    for (const child of [sidekick, panel, epmd]) {
      if (!child || child.exitCode !== null || child.signalCode !== null) continue;
      kill(child, 'SIGTERM');
      const late = setTimeout(() => kill(child, 'SIGKILL'), 20000);
      await child.gone;
      clearTimeout(late);
    }
  };

  const tellLogs = () => {
    for (const name of ['panel', 'sidekick']) {
      const lines = fs.readFileSync(path.join(dir, `${name}.log`), 'utf8').trimEnd().split('\n').slice(-15);
      console.log(`  ${name}.log:\n${lines.map((line) => `    | ${line}`).join('\n')}`);
    }
  };

  try {
    await startPanel();
    sidekick = start(dir, 'sidekick', [process.env.SIDEKICK_BIN, 'run', '--config', 'demo.toml'], { env });
  } catch (error) {
    await strike();
    throw error;
  }
  return { url, user, startPanel, killPanel: () => kill(panel, 'SIGKILL'), strike, tellLogs };
}

module.exports = { stage };
