//! tmp
use seethink_reward::*;
use std::io::BufRead;
fn main(){ for l in std::io::stdin().lock().lines(){ let v: serde_json::Value = serde_json::from_str(&l.unwrap()).unwrap();
 let (g,p)=(v["gold"].as_str().unwrap(), v["prediction"].as_str().unwrap());
 let a = if v["kind"]=="answer" {Some(p)} else {last_boxed(p)};
 println!("{}\t{}\t{}\t{:?}\t{:?}", v["rule"].as_str().unwrap(), v["expected"], a.is_some_and(|a| is_correct(a,g)), g, a); } }
