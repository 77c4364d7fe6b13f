// In which order things happen in Node; the example node_order does the same here.
const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const say = (line) => fs.writeSync(1, line + '\n');

function phases() {
  return new Promise((done) => fs.readFile(__filename, () => {
    say('phases: the file is read');
    process.nextTick(() => say('phases: next tick'));
    Promise.resolve().then(() => say('phases: promise'));
    setImmediate(() => say('phases: immediate'));
    setTimeout(() => { say('phases: timer'); done(); }, 10);
    say('phases: all are queued');
  }));
}

function queues() {
  // From a callback of the loop: a promise's own callbacks go on before the ticks.
  return new Promise((done) => setImmediate(() => {
    Promise.resolve().then(() => { say('queues: promise, queued first'); done(); });
    process.nextTick(() => say('queues: next tick, queued second'));
  }));
}

async function call() {
  async function f() {
    say('call: it begins');
    await null;
    say('call: it goes on');
  }
  const promise = f();
  say('call: the caller goes on');
  await promise;
}

function computeFor(milliseconds) {
  const began = process.hrtime.bigint();
  while (process.hrtime.bigint() - began < milliseconds * 1_000_000) ;
}

function chain() {
  const timer = new Promise((done) => setTimeout(() => { say('chain: the timer of 5 ms'); done(); }, 5));
  let steps = 0;
  function step() {
    computeFor(1);
    if (++steps < 20) process.nextTick(step);
    else say('chain: its end after 20 steps of 1 ms');
  }
  process.nextTick(step);
  return timer;
}

function pool() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'node_order-'));
  const pipes = [0, 1, 2, 3].map((pipe) => path.join(folder, String(pipe)));
  execFileSync('mkfifo', pipes);
  for (const pipe of pipes) fs.open(pipe, 'r', () => {});
  say('pool: four calls are stuck');
  const answered = new Promise((done) => fs.stat(folder, () => { say('pool: a fifth is answered'); done(); }));
  setTimeout(() => {
    say('pool: the four are let go');
    for (const pipe of pipes) fs.openSync(pipe, 'r+');
  }, 100);
  return answered.then(() => fs.rmSync(folder, { recursive: true }));
}

phases().then(queues).then(call).then(chain).then(pool);
